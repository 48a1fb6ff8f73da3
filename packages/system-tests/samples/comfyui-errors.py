class ComfyError(Exception):
    """Base exception for ComfyUI errors."""
    pass


class ModelNotFoundError(ComfyError):
    """Requested model not available."""
    pass


class OutOfMemoryError(ComfyError):
    """GPU memory exhausted."""
    pass


class QueueFullError(ComfyError):
    """Generation queue at capacity."""
    pass


async def safe_generate(workflow: dict, params: dict) -> bytes:
    """Generate with proper error handling."""
    try:
        return await get_or_generate(workflow, params)
    except requests.HTTPError as e:
        if e.response.status_code == 500:
            if "out of memory" in e.response.text.lower():
                raise OutOfMemoryError("GPU memory exhausted")
        raise
    except Timeout:
        raise QueueFullError("Generation timed out - queue may be full")
