import fused
import mimetypes
from urllib.parse import urlsplit


@fused.cache
def run_comfy_job(
    workflow_s3_path, scene_image_path, product_image_path,
    text_prompt, vid_duration, seed, s3_base
):
    import time, requests
    from pathlib import Path

    BASE_URL = "https://cloud.comfy.org"
    headers = {"X-API-Key": fused.secrets["COMFY_API_KEY"]}

    workflow = requests.get(fused.api.sign_url(workflow_s3_path)).json()

    def _upload_to_comfy(image_path: str) -> str:
        if image_path.startswith("s3://"):
            img_bytes = requests.get(fused.api.sign_url(image_path)).content
            fname = image_path.split("/")[-1]
        else:
            fname = Path(image_path).name
            img_bytes = Path(image_path).read_bytes()
        resp = requests.post(
            f"{BASE_URL}/api/upload/image",
            headers=headers,
            files={"image": (fname, img_bytes, "image/png")},
        )
        resp.raise_for_status()
        return resp.json()["name"]

    workflow["3"]["inputs"]["image"] = _upload_to_comfy(scene_image_path)
    workflow["2"]["inputs"]["image"] = _upload_to_comfy(product_image_path)
    workflow["1"]["inputs"]["model.prompt"] = text_prompt
    workflow["1"]["inputs"]["model.duration"] = int(vid_duration)
    workflow["1"]["inputs"]["seed"] = seed

    api_key = fused.secrets["COMFY_API_KEY"]
    prompt_id = requests.post(
        f"{BASE_URL}/api/prompt",
        headers={**headers, "Content-Type": "application/json"},
        json={"prompt": workflow, "extra_data": {"api_key_comfy_org": api_key}},
    ).json()["prompt_id"]

    history = {}
    for _ in range(120):
        job = requests.get(f"{BASE_URL}/api/job/{prompt_id}/status", headers=headers).json()
        if job.get("status") in ("failed", "cancelled", "error"):
            raise RuntimeError(f"Comfy job failed: {job.get('error_message')}")
        if job.get("status") in ("success", "completed"):
            resp = requests.get(f"{BASE_URL}/api/history_v2/{prompt_id}", headers=headers)
            if resp.status_code == 200 and resp.text.strip():
                history = resp.json().get(prompt_id, {})
            break
        time.sleep(5)

    first_video_s3_path = None
    for node_outputs in history.get("outputs", {}).values():
        for media_key in ("images", "video", "audio"):
            for file_info in node_outputs.get(media_key, []):
                data = requests.get(
                    f"{BASE_URL}/api/view",
                    headers=headers,
                    params={"filename": file_info["filename"], "type": file_info.get("type", "output")},
                ).content
                local_tmp = f"/tmp/{file_info['filename']}"
                with open(local_tmp, "wb") as f:
                    f.write(data)
                s3_path = s3_base + file_info["filename"]
                fused.api.upload(local_tmp, s3_path)
                first_video_s3_path = s3_path

    return first_video_s3_path


@fused.udf(engine='small')
def images_to_video(
    workflow_s3_path: str = "s3://fused-users/fused/aman/comfyui-brole-workflow.json",
    scene_image_path: str = "s3://fused-users/fused/aman/reference_scene.png",
    product_image_path: str = "s3://fused-users/fused/aman/think-pad-product.png",
    text_prompt: str = "Use @image1 to match the scene...",
    vid_duration: str = "5",
    seed: int = 387457956,
    s3_base: str = "s3://fused-users/fused/aman/comfyui-text-to-image/",
):
    video_s3_path = run_comfy_job(
        workflow_s3_path, scene_image_path, product_image_path,
        text_prompt, vid_duration, seed, s3_base
    )
    signed_url = fused.api.sign_url(video_s3_path)
    source_type = mimetypes.guess_type(urlsplit(signed_url).path)[0] or "video/mp4"
    return f"""
    <html>
    <body style="margin:0;display:flex;justify-content:center;align-items:center;height:100vh;background:#000;">
    <video controls autoplay muted style="max-width:100%;max-height:100%;">
    <source src="{signed_url}" type="{source_type}">
    </video>
    </body>
    </html>
    """
