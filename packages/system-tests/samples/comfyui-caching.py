import hashlib


def cache_key(workflow: dict, params: dict) -> str:
    """Generate cache key from workflow + params."""
    canonical = json.dumps(workflow, sort_keys=True) + json.dumps(params, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


async def get_or_generate(workflow: dict, params: dict) -> bytes:
    """Return cached result or generate new."""
    key = cache_key(workflow, params)

    # Check cache
    cached = await redis.get(f"result:{key}")
    if cached:
        return cached

    # Generate
    result = await client.run_workflow(workflow, params)

    # Cache for 24 hours
    await redis.setex(f"result:{key}", 86400, result)

    return result
