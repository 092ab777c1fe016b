# (encoder tests)
