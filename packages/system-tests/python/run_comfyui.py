"""
Runs the samples for ComfyUI's own API one after the other, with what they leave to their readers: the names that one takes from
another, a Redis, and a caller. Prints what came of it, as one line of JSON.
"""

import asyncio
import json
import random
import time

import requests
import websocket

printed = []
names = {"print": lambda *words: printed.append(" ".join(map(str, words))), "random": random, "Timeout": requests.Timeout}


def run(sample):
    with open(sample) as file:
        exec(compile(file.read(), sample, "exec"), names)


def until(is_so, seconds=15):
    deadline = time.time() + seconds
    while not is_so():
        if time.time() > deadline:
            raise TimeoutError(f"it did not come so far: {printed}")
        time.sleep(0.02)


class Monitored(websocket.WebSocketApp):
    """Says when it has been greeted: from then on the server tells it everything."""

    def __init__(self, url, on_message, **others):
        self.is_greeted = False

        def hear(socket, message):
            on_message(socket, message)
            self.is_greeted = True

        super().__init__(url, on_message=hear, **others)


class Redis:
    def __init__(self):
        self.kept = {}

    async def get(self, key):
        return self.kept.get(key)

    async def setex(self, key, _seconds, value):
        self.kept[key] = value


class AsyncClient:
    def __init__(self, client):
        self.client = client
        self.runs = 0

    async def run_workflow(self, workflow, params):
        self.runs += 1
        with open("given.json", "w") as file:
            json.dump(workflow, file)
        return self.client.run_workflow("given.json", params)[0]["data"]


run("comfyui-client.py")
client = names["client"]
ran = list(printed)
uploaded = client.upload_image("photo.png", "poses")
with open("copy.json") as file:
    graph = json.load(file)
graph["10"]["inputs"]["image"] = f"{uploaded['subfolder']}/{uploaded['name']}"
with open("copy.json", "w") as file:
    json.dump(graph, file)
copied = client.run_workflow("copy.json")

websocket.WebSocketApp = Monitored
run("comfyui-websocket.py")
until(lambda: names["monitor"].ws.is_greeted)
printed.clear()
with open("workflow_api.json") as file:
    workflow = json.load(file)
watched = client.queue_prompt(client._apply_params(workflow, {"3-inputs-seed": random.randint(0, 2**31)}))
until(lambda: "Done!" in printed)
watched_ended = watched in client.get_history(watched)
names["monitor"].disconnect()
heard = list(printed)

for sample in ("comfyui-validation.py", "comfyui-caching.py", "comfyui-errors.py"):
    run(sample)
names["redis"] = Redis()
names["client"] = AsyncClient(client)
params = names["validate_params"]({"prompt": "a fox in snow"})
generate = names["safe_generate"]
made = [asyncio.run(generate(workflow, {"6-inputs-text": params["prompt"]})) for _ in range(2)]
runs = names["client"].runs
try:
    asyncio.run(generate({"1": {"class_type": "NoSuchNode", "inputs": {}}}, {}))
except requests.HTTPError as error:
    refused = [error.response.status_code, error.response.json()["error"]["type"]]
try:
    names["validate_params"]({"steps": 0})
except ValueError as error:
    invalid = str(error)

print(json.dumps({
    "ran": ran,
    "uploaded": uploaded,
    "copied": [image["node_id"] for image in copied],
    "heard": heard,
    "watched_ended": watched_ended,
    "made": [made[0] == made[1], len(made[0])],
    "runs": runs,
    "refused": refused,
    "invalid": invalid,
}))
