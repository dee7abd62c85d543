#!/usr/bin/python3
"""The peers of compare-mlp: the same network in PyTorch, from rubato's first weights, over its order of the examples.

    tests/bench/torch_mlp.py rpc|ddp --workers N [--threads 1] [--examples 60000] [--epochs 1] [--lr 0.1] [--seed 1]

rpc: a parameter server on torch.distributed.rpc (TensorPipe): one process holds the weights and takes SGD steps; a worker sends
the gradients of a batch and is answered with the weights, in one call. ddp: DistributedDataParallel over gloo. Prints a line
of JSON: examples per second of the slowest process's loop (files read, processes met and 30 batches trained before), and the
mean loss over each epoch's batches, each before its step. With --warm 0 nothing is trained before: for the curve."""
import argparse
import gzip
import json
import os
import pathlib
import socket
import sys
import time

import numpy
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch.distributed import rpc

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
WIDTHS = (784, 512, 256, 10)
MASK = 0xFFFFFFFF


# ---- what rubato begins with ----

def philox(seed, stream, counters):
    """Philox4x32-10 at many counters: as common/base/rng.c."""
    c = [counters & MASK, counters >> 32, numpy.full_like(counters, stream & MASK), numpy.full_like(counters, stream >> 32)]
    k0, k1 = seed & MASK, seed >> 32
    for _ in range(10):
        p0, p1 = c[0] * numpy.uint64(0xD2511F53), c[2] * numpy.uint64(0xCD9E8D57)
        c = [(p1 >> numpy.uint64(32)) ^ c[1] ^ numpy.uint64(k0), p1 & numpy.uint64(MASK),
             (p0 >> numpy.uint64(32)) ^ c[3] ^ numpy.uint64(k1), p0 & numpy.uint64(MASK)]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return numpy.stack(c, axis=1).reshape(-1)


def words(seed, stream, n):
    return philox(seed, stream, numpy.arange((n + 3) // 4, dtype=numpy.uint64))[:n]


def name_hash(name):
    """common/base/hash.c: FNV-1a, then the finaliser of SplitMix64."""
    x, wide = 0xCBF29CE484222325, (1 << 64) - 1
    for byte in name.encode():
        x = ((x ^ byte) * 0x100000001B3) & wide
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & wide
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & wide
    return x ^ x >> 31


def first_weights(seed, layer):
    """Of shape outputs x inputs, as torch has them: He's bound, Glorot's for the last layer."""
    n_in, n_out = WIDTHS[layer], WIDTHS[layer + 1]
    bound = numpy.sqrt(6 / n_in if layer + 2 < len(WIDTHS) else 6 / (n_in + n_out))
    centred = (words(seed, name_hash(f"layer{layer}/weights"), n_in * n_out) >> numpy.uint64(8)).astype(numpy.int64) - (1 << 23)
    values = centred.astype(numpy.float32) * numpy.float32(2**-23) * numpy.float32(bound)
    return torch.from_numpy(values.reshape(n_in, n_out).T.copy())


def order(seed, epoch, n):
    """worker/data/order.c: Durstenfeld's shuffle, bounded draws by Lemire's multiplication."""
    low_high = words(seed, (0x6F72646572 << 24) + epoch, 2 * n).reshape(-1, 2)
    draws = (low_high[:, 0] | low_high[:, 1] << numpy.uint64(32)).tolist()
    items = list(range(n))
    for i, draw in zip(range(n, 1, -1), draws):  # what Lemire's method draws again has odds of 2^-48
        j = draw * i >> 64
        items[i - 1], items[j] = items[j], items[i - 1]
    return torch.tensor(items)


def network(seed):
    layers = []
    for layer in range(len(WIDTHS) - 1):
        linear = torch.nn.Linear(WIDTHS[layer], WIDTHS[layer + 1])
        with torch.no_grad():
            linear.weight.copy_(first_weights(seed, layer))
            linear.bias.zero_()
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


# ---- data ----

def read_idx(path, head):
    with gzip.open(path) as file:
        return numpy.frombuffer(file.read(), numpy.uint8, offset=head)


def load(n):
    x = read_idx(DATA / "train-images-idx3-ubyte.gz", 16).reshape(-1, WIDTHS[0])[:n]
    y = read_idx(DATA / "train-labels-idx1-ubyte.gz", 8)[:n]
    return torch.from_numpy(x.astype(numpy.float32) / 255), torch.from_numpy(y.astype(numpy.int64))


def train(options, rank, step):
    """Calls step(x, y) for each batch of this rank, batch i being that of rank i mod workers; step gives the loss."""
    x, y = load(options.examples)
    orders = [order(options.seed, epoch, options.examples) for epoch in range(options.epochs)]
    batches = options.examples // options.batch // options.workers * options.workers
    for _ in range(options.warm):
        step(x[:options.batch], y[:options.batch])
    losses = []
    began = time.perf_counter()
    for places in orders:
        total = 0.0
        for i in range(rank, batches, options.workers):
            at = places[i * options.batch:(i + 1) * options.batch]
            total += step(x[at], y[at])
        losses.append(total / (batches // options.workers))
    seconds = time.perf_counter() - began
    return {"examples_per_s": options.epochs * batches * options.batch / seconds, "losses": losses}


# ---- the parameter server ----

class Server:
    def __init__(self, options):
        self.model = network(options.seed)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=options.lr)

    def weights(self):
        return [p.detach() for p in self.model.parameters()]

    @staticmethod
    def step(reference, gradients):
        self = reference.local_value()
        for parameter, gradient in zip(self.model.parameters(), gradients):
            parameter.grad = gradient
        self.optimizer.step()
        return self.weights()

    @staticmethod
    def fetch(reference):
        return reference.local_value().weights()


SERVER = None


def the_server():
    return SERVER


def rpc_worker(rank, options, results):
    server = rpc.remote("server", the_server)
    model = network(options.seed)

    def take(weights):
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), weights):
                parameter.copy_(value)

    def step(x, y):
        model.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        take(rpc.rpc_sync("server", Server.step, args=(server, [p.grad for p in model.parameters()])))
        return float(loss)

    take(rpc.rpc_sync("server", Server.fetch, args=(server,)))
    results.put(train(options, rank, step))


def rpc_process(process, options, port, results):
    global SERVER
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(options.threads)
    names = ["server"] + [f"worker{rank}" for rank in range(options.workers)]
    SERVER = Server(options) if process == 0 else None
    rpc.init_rpc(names[process], rank=process, world_size=len(names))
    if process > 0:
        rpc_worker(process - 1, options, results)
    rpc.shutdown()


# ---- all-reduce ----

def ddp_process(rank, options, port, results):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(options.threads)
    dist.init_process_group("gloo", rank=rank, world_size=options.workers)
    model = torch.nn.parallel.DistributedDataParallel(network(options.seed), gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=options.lr)

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss)

    results.put(train(options, rank, step))
    dist.destroy_process_group()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("rpc", "ddp"))
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--examples", type=int, default=60000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--warm", type=int, default=30)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    processes = options.workers + (options.peer == "rpc")
    results = multiprocessing.get_context("spawn").SimpleQueue()
    multiprocessing.spawn(rpc_process if options.peer == "rpc" else ddp_process, nprocs=processes,
                          args=(options, free_port(), results))
    ranks = [results.get() for _ in range(options.workers)]
    curve = [sum(losses) / options.workers for losses in zip(*(rank["losses"] for rank in ranks))]
    print(json.dumps({"peer": options.peer, "workers": options.workers, "threads": options.threads,
                      "examples_per_s": min(rank["examples_per_s"] for rank in ranks), "losses": curve}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
