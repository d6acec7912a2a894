"""SimPy. usage: simpy_bench.py [events] [pending per entity] [customers]"""
import sys
import time
from random import Random

import simpy

N, LOOKAHEAD = 1024, 0.1


def report(load, name, units, cpu, wall, check):
    print(f"{load}\t{name}\t{units}\t{cpu:.4f}\t{wall:.4f}\t{units / cpu:.0f}\t{check}", flush=True)


def timed(f):
    c, w = time.process_time(), time.perf_counter()
    r = f()
    return time.process_time() - c, time.perf_counter() - w, r


def phold_process(events, m):
    """Each pending event is a process; the idiomatic form."""
    env, rng = simpy.Environment(), Random(1)
    count = [0] * N
    expo, rr, timeout = rng.expovariate, rng.random, env.timeout
    stop = env.event()
    left = [events]

    def job(dst):
        while True:
            yield timeout(LOOKAHEAD + expo(1.0))
            count[dst] += 1
            left[0] -= 1
            if not left[0]:
                stop.succeed()
            dst = int(rr() * N)

    for e in range(N):
        for _ in range(m):
            env.process(job(e))
    cpu, wall, _ = timed(lambda: env.run(stop))
    report(f"phold-{N}-{m}", "simpy-process", sum(count), cpu, wall, f"end={env.now:.6f}")


def phold_callback(events, m):
    """Bare Timeout events with a callback: the fastest form SimPy's public API has."""
    env, rng = simpy.Environment(), Random(1)
    count = [0] * N
    expo, rr = rng.expovariate, rng.random
    Timeout = simpy.events.Timeout
    stop = env.event()
    left = [events]

    def fire(ev):
        count[ev._value] += 1
        left[0] -= 1
        if not left[0]:
            stop.succeed()
        Timeout(env, LOOKAHEAD + expo(1.0), int(rr() * N)).callbacks.append(fire)

    for e in range(N):
        for _ in range(m):
            Timeout(env, LOOKAHEAD + expo(1.0), e).callbacks.append(fire)
    cpu, wall, _ = timed(lambda: env.run(stop))
    report(f"phold-{N}-{m}", "simpy-callback", sum(count), cpu, wall, f"end={env.now:.6f}")


def mm1(customers):
    """The textbook form: a source process and one process per customer holding a Resource."""
    env, a, b = simpy.Environment(), Random(11), Random(12)
    server = simpy.Resource(env, capacity=1)
    total = [0, 0.0]

    def customer():
        at = env.now
        with server.request() as turn:
            yield turn
            yield env.timeout(b.expovariate(1.0))
        total[0] += 1
        total[1] += env.now - at

    def source():
        for _ in range(customers):
            yield env.timeout(a.expovariate(0.8))
            env.process(customer())

    env.process(source())
    cpu, wall, _ = timed(env.run)
    report("mm1", "simpy", total[0], cpu, wall, f"sojourn={total[1] / total[0]:.4f}")


if __name__ == "__main__":
    args = [int(x) for x in sys.argv[1:]] + [None] * 3
    events, m, customers = args[0] or 500_000, args[1] or 1, args[2] or 200_000
    phold_process(events, m)
    phold_callback(events, m)
    if m == 1:
        mm1(customers)
