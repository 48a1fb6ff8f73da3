import json
import uuid
import requests
import websocket
from pathlib import Path
from typing import Optional, Callable


class ComfyUIClient:
    def __init__(self, server_url: str = "http://127.0.0.1:8188"):
        self.server_url = server_url.rstrip("/")
        self.client_id = str(uuid.uuid4())
        self.ws: Optional[websocket.WebSocket] = None

    def upload_image(self, image_path: str, subfolder: str = "") -> dict:
        """Upload an image for workflow use."""
        with open(image_path, 'rb') as f:
            files = {'image': (Path(image_path).name, f)}
            data = {}
            if subfolder:
                data['subfolder'] = subfolder

            response = requests.post(
                f"{self.server_url}/upload/image",
                files=files,
                data=data
            )
            response.raise_for_status()
            return response.json()

    def queue_prompt(self, workflow: dict) -> str:
        """Queue workflow and return prompt_id."""
        payload = {
            "prompt": workflow,
            "client_id": self.client_id
        }
        response = requests.post(
            f"{self.server_url}/prompt",
            json=payload
        )
        response.raise_for_status()
        return response.json()['prompt_id']

    def get_history(self, prompt_id: str) -> dict:
        """Get execution history and outputs."""
        response = requests.get(
            f"{self.server_url}/history/{prompt_id}"
        )
        response.raise_for_status()
        return response.json()

    def get_image(self, filename: str, subfolder: str = "",
                  output_type: str = "output") -> bytes:
        """Download a generated image."""
        params = {
            'filename': filename,
            'subfolder': subfolder,
            'type': output_type
        }
        response = requests.get(
            f"{self.server_url}/view",
            params=params
        )
        response.raise_for_status()
        return response.content

    def wait_for_completion(self, prompt_id: str,
                            timeout: int = 300,
                            callback: Optional[Callable] = None) -> dict:
        """Wait for workflow to complete, return results."""
        import time
        start_time = time.time()

        while time.time() - start_time < timeout:
            history = self.get_history(prompt_id)

            if prompt_id in history:
                return history[prompt_id]

            if callback:
                callback(f"Waiting for completion...")

            time.sleep(1)

        raise TimeoutError(f"Workflow {prompt_id} did not complete within {timeout}s")

    def run_workflow(self, workflow_path: str,
                     params: Optional[dict] = None,
                     callback: Optional[Callable] = None) -> list:
        """Complete workflow execution with parameter substitution."""
        # Load workflow
        with open(workflow_path) as f:
            workflow = json.load(f)

        # Apply parameter substitutions
        if params:
            workflow = self._apply_params(workflow, params)

        # Queue and wait
        prompt_id = self.queue_prompt(workflow)
        if callback:
            callback(f"Queued workflow: {prompt_id}")

        result = self.wait_for_completion(prompt_id, callback=callback)

        # Extract outputs
        outputs = result.get('outputs', {})
        images = []

        for node_id, output in outputs.items():
            if 'images' in output:
                for img in output['images']:
                    image_data = self.get_image(
                        img['filename'],
                        img.get('subfolder', ''),
                        img.get('type', 'output')
                    )
                    images.append({
                        'node_id': node_id,
                        'filename': img['filename'],
                        'data': image_data
                    })

        return images

    def _apply_params(self, workflow: dict, params: dict) -> dict:
        """Substitute parameters in workflow."""
        for key, value in params.items():
            # Format: "node_id-inputs-param_name"
            if '-' in key:
                parts = key.split('-')
                if len(parts) >= 3 and parts[1] == 'inputs':
                    node_id = parts[0]
                    param_name = '-'.join(parts[2:])
                    if node_id in workflow:
                        workflow[node_id]['inputs'][param_name] = value
        return workflow


# Usage example
client = ComfyUIClient("http://localhost:8188")

# Run workflow with custom parameters
images = client.run_workflow(
    "workflow_api.json",
    params={
        "6-inputs-text": "A serene landscape at sunset",
        "7-inputs-text": "blurry, low quality",
        "3-inputs-steps": 30,
        "3-inputs-seed": 42
    },
    callback=lambda msg: print(msg)
)

# Save outputs
for i, img in enumerate(images):
    with open(f"output_{i}.png", 'wb') as f:
        f.write(img['data'])
