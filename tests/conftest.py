from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine makes no example wrong
settings.load_profile("no deadline")
