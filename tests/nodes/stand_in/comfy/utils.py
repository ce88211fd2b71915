class ProgressBar:
    def __init__(self, total):
        self.total = total

    def update_absolute(self, value, total=None):
        assert 0 <= value <= (total or self.total)
