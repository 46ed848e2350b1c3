"""The catalogue: curate each survey, cross-match, unify into objects; plain functions and the steps that run them."""
