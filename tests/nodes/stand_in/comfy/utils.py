shown = []


class ProgressBar:
    def __init__(self, total):
        self.total = total
        self.current = 0

    def update_absolute(self, value, total=None, preview=None):
        assert 0 <= value <= (total or self.total)
        self.current = value
        if preview is not None:
            shown.append(preview)
