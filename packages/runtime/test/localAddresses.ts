/** Hosts of URLs that mean this machine, this network or nobody, once `new URL` has read them (security.md §3.3). */
export const LOCAL_LITERALS: readonly string[] = [
  // loopback and "any", in the spellings of inet_aton and of Unicode
  ...["127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0x0.0x0.0x1"],
  ...["0177.0.0.1", "017700000001", "127.000.000.001", "127.0.0.1.", "①②⑦.⓪.⓪.①", "127。0。0。1", "127.255.255.254"],
  // metadata services
  ...["169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518", "①⑥⑨.②⑤④.①⑥⑨.②⑤④"],
  ...["[fd00:ec2::254]", "100.100.100.200", "192.0.0.192"],
  // private, shared, testing, multicast, broadcast
  ...["10.1", "172.16.1", "192.168.257", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"],
  // IPv6, and IPv4 inside IPv6
  ...[
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
  ],
  ...["[fe80::1]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]"],
];
