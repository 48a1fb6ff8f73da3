/** Where a browser gives its key: it can send it in no header. Works without scripts. */
export const KEY_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>comfyq editor</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; background: #202020; color: #ddd; display: grid; place-items: center; min-height: 100vh; margin: 0; }
  form { display: grid; gap: 0.75rem; width: min(26rem, 90vw); }
  input, button { font: inherit; padding: 0.5rem 0.75rem; border-radius: 0.4rem; border: 1px solid #555; background: #2b2b2b; color: inherit; }
  button { background: #2f6fde; border-color: #2f6fde; color: #fff; cursor: pointer; }
  p { margin: 0; min-height: 1.5em; color: #f0a0a0; }
</style>
</head>
<body>
<form method="post" action="/editor/key">
  <label for="key">Your API key opens the editor in this browser, until it is closed.</label>
  <input id="key" name="key" type="password" autocomplete="off" autofocus>
  <button>Open the editor</button>
  <p role="alert"><!-- said --></p>
</form>
</body>
</html>
`;
