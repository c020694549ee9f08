"""``trainguard report``: the story of a run as one HTML file that needs nothing else, now or in ten years.

`material` reads the run directory once and keeps what is bounded; `incidents` puts the journal in order; `chart`
works out where things lie in a picture; `page` fills a template with it all. Nothing is drawn by a script.
"""
