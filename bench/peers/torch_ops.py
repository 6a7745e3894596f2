"""PyTorch's side of `cargo bench -p kinora-kernels -- --peer`: one operation at a time, one call at a time.

Reads lines of JSON: `{"op", "shape", "dtype", "samples"}` makes the inputs, runs once and answers values of the result; `{"run": true}` runs once
more and answers the milliseconds. Inputs are those of the bench, in PyTorch's own layouts; what it takes to get there is not timed.
The first argument is the number of threads.
"""

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

EPSILON = 1e-6


def noise(length, number):
    """The same values as in the bench: a hash of the place and the number of the input."""
    with np.errstate(over="ignore"):
        place = np.arange(length, dtype=np.uint32) * np.uint32(0x9E3779B1)
        value = place ^ (np.uint32(number + 1) * np.uint32(0x85EBCA6B))
        value ^= value >> np.uint32(15)
        value *= np.uint32(0x2C1B3C6D)
        value ^= value >> np.uint32(12)
    return torch.from_numpy((value >> np.uint32(8)).astype(np.float32) / np.float32(1 << 23) - 1)


def tensor(number, *shape):
    return noise(int(np.prod(shape)), number).reshape(shape)


def linear(dtype, m, k, n):
    x, weight, bias = tensor(0, m, k).to(dtype), tensor(1, k, n).T.contiguous().to(dtype), tensor(2, n).to(dtype)
    return lambda: F.linear(x, weight, bias)


def linear_packed(dtype, m, k, n):
    """PyTorch packs no weights ahead for a plain layer."""
    return linear(dtype, m, k, n)


def linear_int8(dtype, m, k, n):
    """Exact, or in bf16: what ours is compared with."""
    return linear(dtype, m, k, n)


def linear_backward(dtype, m, k, n):
    x, weight, grad = tensor(0, m, k).to(dtype), tensor(1, k, n).T.contiguous().to(dtype), tensor(2, m, n).to(dtype)
    return lambda: (grad @ weight, grad.T @ x)


def heads(dtype, number, h, tokens, dim):
    return tensor(number, 1, tokens, h, dim).transpose(1, 2).contiguous().to(dtype)


def attention(dtype, h, tokens, dim):
    q, k, v = (heads(dtype, number, h, tokens, dim) for number in range(3))
    call = lambda: F.scaled_dot_product_attention(q, k, v)
    return call, lambda out: out.transpose(1, 2)


def attention_backward(dtype, h, tokens, dim):
    q, k, v = (heads(dtype, number, h, tokens, dim).requires_grad_() for number in range(3))
    grad = heads(dtype, 3, h, tokens, dim)
    with torch.enable_grad():
        out = F.scaled_dot_product_attention(q, k, v)
    call = lambda: torch.autograd.grad(out, (q, k, v), grad, retain_graph=True)
    return call, lambda grads: grads[0].transpose(1, 2)


def channels_first(x):
    return x.permute(3, 0, 1, 2)[None].contiguous(memory_format=torch.channels_last_3d)


def conv_inputs(dtype, c, t, h, w):
    x = channels_first(tensor(0, t + 2, h, w, c)).to(dtype)
    weight = tensor(1, 3, 3, 3, c, c).permute(4, 3, 0, 1, 2).contiguous(memory_format=torch.channels_last_3d).to(dtype)
    return x, weight


def conv3d(dtype, c, t, h, w):
    x, weight = conv_inputs(dtype, c, t, h, w)
    bias = tensor(2, c).to(dtype)
    return lambda: F.conv3d(x, weight, bias, padding=(0, 1, 1)), lambda out: out.permute(0, 2, 3, 4, 1)


def conv3d_backward(dtype, c, t, h, w):
    x, weight = conv_inputs(dtype, c, t, h, w)
    grad = channels_first(tensor(2, t, h, w, c)).to(dtype)
    arguments = (None, (1, 1, 1), (0, 1, 1), (1, 1, 1), False, (0, 0, 0), 1, (True, True, False))
    call = lambda: torch.ops.aten.convolution_backward(grad, x, weight, *arguments)
    return call, lambda grads: grads[0].permute(0, 2, 3, 4, 1)


def norm_modulate(dtype, rows, channels):
    x, shift, scale = tensor(0, rows, channels).to(dtype), tensor(1, channels).to(dtype), tensor(2, channels).to(dtype)
    return lambda: F.layer_norm(x, (channels,), eps=EPSILON) * (1 + scale) + shift


def rms_norm_rope(dtype, tokens, h, dim):
    x, weight = tensor(0, tokens, h, dim).to(dtype), tensor(1, dim).to(dtype)
    cos, sin = tensor(2, tokens, 1, dim // 2), tensor(3, tokens, 1, dim // 2)

    def call():
        normed = F.rms_norm(x, (dim,), weight, EPSILON)
        even, odd = normed[..., 0::2], normed[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

    return call


def gelu(dtype, rows, channels):
    x = tensor(0, rows, channels).to(dtype)
    return lambda: F.gelu(x, approximate="tanh")


OPS = {
    op.__name__: op
    for op in (
        linear,
        linear_packed,
        linear_int8,
        linear_backward,
        attention,
        attention_backward,
        conv3d,
        conv3d_backward,
        norm_modulate,
        rms_norm_rope,
        gelu,
    )
}


def sample(result, count):
    if isinstance(result, tuple):
        result = result[0]
    flat = result.float().flatten()
    return flat[torch.arange(count) * (flat.numel() // count)].tolist()


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_grad_enabled(False)
    answer = lambda value: print(json.dumps(value), flush=True)
    answer({"peer": f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"})
    call = None
    for line in sys.stdin:
        request = json.loads(line)
        if "op" in request:
            dtype = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16}[request["dtype"]]
            made = OPS[request["op"]](dtype, *request["shape"])
            call, layout = made if isinstance(made, tuple) else (made, lambda result: result)
            answer({"sample": sample(layout(call()), request["samples"])})
        else:
            start = time.perf_counter()
            call()
            answer({"ms": 1e3 * (time.perf_counter() - start)})


if __name__ == "__main__":
    main()
