"""The gate between training and inference: order, fairness, re-entrance, and release whatever happens."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable

import pytest

from shadownb.engine.inference import WeightsGate
from shadownb.engine.inference.gate import WaitCancelled
from shadownb.errors import BusyError

LIMIT = 60.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.0005)


def start(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_inference_gets_in_at_the_next_step_of_a_tight_training_loop() -> None:
    gate = WeightsGate()
    steps = itertools.count()
    step = 0
    over = threading.Event()

    def train() -> None:
        nonlocal step
        while not over.is_set():
            with gate.training():
                step = next(steps)
                time.sleep(0.001)

    trainer = start(train)
    try:
        until(lambda: step > 3)
        passed = []
        for _ in range(30):
            begin = step
            with gate.inference(timeout=LIMIT):
                passed.append(step - begin)
                at = step
                time.sleep(0.002)
                assert step == at, "training ran while inference held the weights"
    finally:
        over.set()
        trainer.join(LIMIT)
    assert max(passed) <= 3, passed
    assert gate.yielded_seconds >= 30 * 0.002 * 0.8


def test_training_goes_on_between_a_flood_of_inference_calls() -> None:
    gate = WeightsGate()
    over = threading.Event()

    def chat() -> None:
        while not over.is_set():
            with gate.inference():
                time.sleep(0.001)

    chats = [start(chat) for _ in range(4)]
    until(lambda: gate.waiting >= 2)
    for _ in range(20):
        with gate.training():
            pass
    over.set()
    for thread in chats:
        thread.join(LIMIT)
    assert gate.holder is None
    assert gate.waiting == 0


def test_calls_are_served_in_the_order_they_came() -> None:
    gate = WeightsGate()
    served: list[int] = []

    def call(number: int) -> None:
        with gate.training() if number == 3 else gate.inference():
            served.append(number)

    with gate.training():
        threads = []
        for number in range(6):
            threads.append(start(lambda number=number: call(number)))
            until(lambda number=number: gate.waiting == number + 1)
        assert gate.holder == "training"
    for thread in threads:
        thread.join(LIMIT)
    assert served == [0, 1, 2, 3, 4, 5]


def test_one_user_at_a_time_with_many_threads() -> None:
    gate = WeightsGate()
    inside = 0
    most = 0
    done = itertools.count()

    def use(kind: str) -> None:
        nonlocal inside, most
        for _ in range(50):
            with gate.training() if kind == "training" else gate.inference():
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1
        next(done)

    threads = [start(lambda kind=kind: use(kind)) for kind in ["training"] + ["inference"] * 11]
    for thread in threads:
        thread.join(LIMIT)
    assert next(done) == 12
    assert most == 1
    assert gate.holder is None


def test_an_error_inside_releases() -> None:
    gate = WeightsGate()
    with pytest.raises(ZeroDivisionError), gate.training():
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), gate.inference():
        raise ZeroDivisionError
    assert gate.holder is None


def test_a_timeout_raises_and_gives_up_the_place() -> None:
    gate = WeightsGate()
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with gate.training():
            held.set()
            over.wait(LIMIT)

    thread = start(hold)
    held.wait(LIMIT)
    with pytest.raises(BusyError, match=r"timeout=0\.01 s") as caught, gate.inference(timeout=0.01):
        pytest.fail("entered while training held the weights")
    assert "training" in caught.value.why
    assert gate.waiting == 0
    over.set()
    thread.join(LIMIT)
    with gate.inference(timeout=LIMIT):
        pass


def test_a_cancelled_wait_gives_up_the_place() -> None:
    gate = WeightsGate()
    with gate.training():
        cancel = threading.Event()
        outcome: list[BaseException] = []

        def call() -> None:
            try:
                with gate.inference(cancelled=cancel.is_set):
                    pass
            except WaitCancelled as error:
                outcome.append(error)

        thread = start(call)
        until(lambda: gate.waiting == 1)
        cancel.set()
        thread.join(LIMIT)
        assert outcome
        assert gate.waiting == 0


def test_ctrl_c_while_waiting_gives_up_the_place() -> None:
    gate = WeightsGate()
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with gate.training():
            held.set()
            over.wait(LIMIT)

    def interrupt() -> None:
        until(lambda: gate.waiting == 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    holder = start(hold)
    held.wait(LIMIT)
    start(interrupt)
    with pytest.raises(KeyboardInterrupt), gate.inference():
        pytest.fail("entered while training held the weights")
    assert gate.waiting == 0
    over.set()
    holder.join(LIMIT)
    assert gate.holder is None


def test_a_thread_that_died_holding_does_not_block_the_others() -> None:
    gate = WeightsGate()
    start(gate.enter_training).join(LIMIT)
    with gate.inference(timeout=LIMIT):
        assert gate.holder == "inference"


def test_the_training_thread_may_sample_inside_its_step() -> None:
    gate = WeightsGate()
    with gate.training():
        with gate.inference(timeout=0), gate.inference(timeout=0):
            assert gate.holder == "training"
        assert gate.holder == "training"
    assert gate.holder is None
    assert gate.yielded_seconds == 0


def test_release_lets_go_of_everything_and_is_harmless() -> None:
    gate = WeightsGate()
    gate.release()
    gate.enter_training()
    gate.enter_training()
    gate.release()
    assert gate.holder is None
    with gate.inference():
        start(gate.release).join(LIMIT)
        assert gate.holder == "inference"


def test_the_training_wait_is_reported() -> None:
    gate = WeightsGate()
    inside = threading.Event()

    def chat() -> None:
        with gate.inference():
            inside.set()
            time.sleep(0.05)

    thread = start(chat)
    inside.wait(LIMIT)
    with gate.training() as waited:
        assert waited > 0.02
    thread.join(LIMIT)
    assert gate.yielded_seconds == waited


def test_a_loan_lets_a_worker_in_and_keeps_the_hold_until_it_is_back() -> None:
    gate = WeightsGate()
    assert gate.lend() is None
    inside, leave = threading.Event(), threading.Event()
    with gate.training():
        loan = gate.lend()
        assert loan is not None

        def work() -> None:
            with gate.inference(loan=loan):
                inside.set()
                leave.wait(LIMIT)

        worker = start(work)
        assert inside.wait(LIMIT)
    assert gate.holder == "training", "the weights were given away under a worker that uses them"
    with pytest.raises(BusyError), gate.inference(timeout=0.01):
        pytest.fail("entered beside a worker")
    leave.set()
    worker.join(LIMIT)
    assert gate.holder is None


def test_a_second_use_in_the_lending_thread_waits_for_the_loan() -> None:
    gate = WeightsGate()
    order = []
    with gate.training():
        loan = gate.lend()

        def work() -> None:
            with gate.inference(loan=loan):
                time.sleep(0.02)
                order.append("worker")

        worker = start(work)
        with gate.inference():
            order.append("lender")
        worker.join(LIMIT)
    assert order == ["worker", "lender"]
