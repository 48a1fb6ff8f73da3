import websocket
import json
import threading


class ComfyWebsocketMonitor:
    def __init__(self, server_url: str, client_id: str):
        self.ws_url = server_url.replace("http", "ws") + f"/ws?clientId={client_id}"
        self.callbacks = {}
        self.ws = None

    def on_progress(self, callback: Callable):
        self.callbacks['progress'] = callback

    def on_complete(self, callback: Callable):
        self.callbacks['complete'] = callback

    def on_error(self, callback: Callable):
        self.callbacks['error'] = callback

    def connect(self):
        def on_message(ws, message):
            data = json.loads(message)
            msg_type = data.get('type')

            if msg_type == 'progress':
                if 'progress' in self.callbacks:
                    self.callbacks['progress'](
                        data['data']['value'],
                        data['data']['max']
                    )

            elif msg_type == 'executing':
                if data['data']['node'] is None:
                    if 'complete' in self.callbacks:
                        self.callbacks['complete']()

            elif msg_type == 'execution_error':
                if 'error' in self.callbacks:
                    self.callbacks['error'](data['data'])

        self.ws = websocket.WebSocketApp(
            self.ws_url,
            on_message=on_message,
            on_error=lambda ws, err: self.callbacks.get('error', print)(err)
        )

        thread = threading.Thread(target=self.ws.run_forever)
        thread.daemon = True
        thread.start()

    def disconnect(self):
        if self.ws:
            self.ws.close()


# Usage
monitor = ComfyWebsocketMonitor("http://localhost:8188", client.client_id)
monitor.on_progress(lambda current, total: print(f"Progress: {current}/{total}"))
monitor.on_complete(lambda: print("Done!"))
monitor.connect()
