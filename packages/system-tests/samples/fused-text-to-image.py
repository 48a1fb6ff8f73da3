import fused


@fused.udf(cache_max_age="0s")
def text_to_image(
    text_prompt: str = "A beautiful sunset over mountains",
    workflow_s3_path: str = "s3://fused-users/fused/aman/01_get_started_text_to_image.json",
    seed: int = 0,
    output_dir: str = "./outputs",
):
    import io, os, time
    import numpy as np
    import requests
    from PIL import Image

    BASE_URL = "https://cloud.comfy.org"
    headers = {"X-API-Key": fused.secrets["COMFY_API_KEY"]}

    workflow = requests.get(fused.api.sign_url(workflow_s3_path)).json()
    workflow["104:90"]["inputs"]["text"] = text_prompt
    workflow["104:92"]["inputs"]["seed"] = seed

    prompt_id = requests.post(
        f"{BASE_URL}/api/prompt",
        headers={**headers, "Content-Type": "application/json"},
        json={"prompt": workflow},
    ).json()["prompt_id"]

    history = {}
    for _ in range(30):
        resp = requests.get(f"{BASE_URL}/api/history_v2/{prompt_id}", headers=headers)
        if resp.status_code == 200 and resp.text.strip():
            history = resp.json().get(prompt_id, {})
            if history.get("status", {}).get("completed"):
                break
        time.sleep(2)

    outputs = history.get("outputs", {})

    def _download(filename, output_type="output"):
        return requests.get(
            f"{BASE_URL}/api/view",
            headers=headers,
            params={"filename": filename, "type": output_type},
        ).content

    os.makedirs(output_dir, exist_ok=True)
    first_image = None
    s3_base = "s3://fused-users/fused/aman/comfyui-text-to-image/"
    for node_outputs in outputs.values():
        for media_key in ("images", "video", "audio"):
            for file_info in node_outputs.get(media_key, []):
                data = _download(file_info["filename"], file_info.get("type", "output"))
                local_path = os.path.join(output_dir, file_info["filename"])
                with open(local_path, "wb") as f:
                    f.write(data)
                s3_path = s3_base + file_info["filename"]
                fused.api.upload(local_path, s3_path)
                if media_key == "images" and first_image is None:
                    first_image = data

    arr = np.array(Image.open(io.BytesIO(first_image)).convert("RGB"))
    return np.moveaxis(arr, -1, 0)
