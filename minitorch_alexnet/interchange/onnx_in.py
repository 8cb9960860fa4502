def read_onnx(path):
    raise NotImplementedError
