import signal

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine makes no example wrong
settings.load_profile("no deadline")

signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what tests have started is ended
