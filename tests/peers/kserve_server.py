"""KServe's Python server with the model of `factors.py`: V1 and V2 over HTTP, and gRPC."""

import sys

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

import factors


class Rec(Model):
    def __init__(self):
        super().__init__("rec")
        self.model = factors.Model()
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, InferRequest):
            books, scores = self.model.top(int(payload.inputs[0].data[0]))
            outputs = [
                InferOutput("items", [1, factors.K], "INT64", data=books.tolist()),
                InferOutput("scores", [1, factors.K], "FP32", data=scores.tolist()),
            ]
            return InferResponse(response_id=payload.id or "1", model_name=self.name, infer_outputs=outputs)
        lists = [self.model.top(instance["user"]) for instance in payload["instances"]]
        return {"predictions": [{"items": books.tolist(), "scores": scores.tolist()} for books, scores in lists]}


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), workers=1).start([Rec()])
