"""Features and training labels of objects: plain functions over Arrow tables, and the steps that run them."""
