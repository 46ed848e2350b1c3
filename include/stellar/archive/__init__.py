"""The embedded archive: a simulated sky, generated once into a folder and served over the surveys' own protocols."""
