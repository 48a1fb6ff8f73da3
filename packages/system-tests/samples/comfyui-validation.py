def validate_params(params: dict) -> dict:
    """Sanitize and validate workflow parameters."""
    errors = []

    # Validate prompt
    if not params.get('prompt'):
        errors.append("Prompt is required")
    elif len(params['prompt']) > 1000:
        errors.append("Prompt too long (max 1000 chars)")

    # Validate numeric ranges
    steps = params.get('steps', 20)
    if not 1 <= steps <= 100:
        errors.append("Steps must be between 1 and 100")

    cfg = params.get('cfg', 7)
    if not 1 <= cfg <= 20:
        errors.append("CFG must be between 1 and 20")

    # Sanitize seed
    params['seed'] = params.get('seed', random.randint(0, 2**31 - 1))
    params['seed'] = max(0, min(params['seed'], 2**31 - 1))

    if errors:
        raise ValueError("; ".join(errors))

    return params
