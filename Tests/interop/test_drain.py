"""grpcio calls without a pause while its server's connections end, and the server itself: no call may fail."""

import signal
import threading

import grpc
from buddy.testing.v1 import testing_pb2, testing_pb2_grpc
from installation import free_port, wait_until
from rpc_server import Program, running


class Load:
    """Threads that make every kind of call, until they are stopped or one fails."""

    def __init__(self, address, threads=8):
        # Channels of their own, for grpcio shares a connection among those that are alike.
        self.channels = [
            grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(threads)
        ]
        self.calls, self.failures, self.is_over = [0] * threads, [], False
        self.threads = [threading.Thread(target=self.run, args=(index,), daemon=True) for index in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self, index):
        echo = testing_pb2_grpc.EchoStub(self.channels[index])
        message = testing_pb2.EchoMessage(text="x" * 100)
        options = {"timeout": 60, "wait_for_ready": True}
        try:
            while not self.is_over:
                assert echo.Say(message, **options) == message
                expand = testing_pb2.ExpandRequest(text="y", count=20)
                assert len(list(echo.Expand(expand, **options))) == 20
                assert echo.Collect(iter([message] * 3), **options).text == "x" * 300
                assert list(echo.Chat(iter([message] * 3), **options)) == [message] * 3
                self.calls[index] += 4
        except Exception as error:  # noqa: BLE001  Whatever it is, the test is to show it.
            self.failures.append(error)

    def passes(self, more):
        """Waits until every thread has made that many more calls."""
        goals = [calls + more for calls in self.calls]
        wait_until(
            lambda: self.failures or all(calls >= goal for calls, goal in zip(self.calls, goals)), "calls go on"
        )
        assert not self.failures

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(60)
        for channel in self.channels:
            channel.close()
        assert not self.failures


def test_connections_end_all_the_time():
    with running("rpc-echo-server", "--connection-age", 50) as server:
        load = Load(server.address)
        load.passes(400)
        load.stop()
        assert sum(load.calls) >= 8 * 400


def test_a_server_is_replaced_at_its_address():
    port = free_port()
    server = Program("rpc-echo-server", "--port", port)
    load = Load(server.address)
    try:
        for _ in range(3):
            load.passes(40)
            server.signal(signal.SIGTERM)
            # It has let go of the port at once, and finishes its calls while the next one takes new ones.
            before, server = server, restarted(port)
            assert before.wait() == 0
        load.passes(40)
        load.stop()
    finally:
        server.process.kill()
        server.process.wait()


def restarted(port):
    """The next server: its first tries may come before the port is free."""
    servers = []

    def listens():
        try:
            servers.append(Program("rpc-echo-server", "--port", port))
        except (IndexError, ValueError):
            return False
        return True

    wait_until(listens, "the port is free")
    return servers[0]


def test_a_call_that_outlasts_the_grace_is_told():
    server = Program("rpc-echo-server", "--grace", 300)
    with grpc.insecure_channel(server.address) as channel:
        done = threading.Event()

        def requests():
            yield testing_pb2.EchoMessage(text="one")
            done.wait(60)

        chat = testing_pb2_grpc.EchoStub(channel).Chat(requests(), timeout=60)
        assert next(chat).text == "one"
        server.signal(signal.SIGTERM)
        try:
            next(chat)
            raise AssertionError("the call went on")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            assert error.details() == "the server is shutting down"
        finally:
            done.set()
    assert server.wait() == 0
