import signal

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine makes no example wrong
settings.load_profile("no deadline")

# A shell that starts something in the background has it ignore SIGINT, and all that it starts: not here.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what tests have started is ended
