"""A web app over the node functions: `python . demo`. Everything that computes is a graph that workflows/ runs.

settings.py and graphs.py say what the controls mean as a graph; work.py runs such graphs for one visitor (sessions.py,
jobs.py); app.py and the panels are the page. Only app.py, the panels, endpoint.py and launch.py import gradio.
"""
