"""Model versions: content-addressed artifacts, aliases, promotion policy, promotion and rollback with evidence.

`store` keeps the files, `versions` the ledger's rows, `policy` decides, `promotion` moves the `current` alias, and
`bundle` is what one version's artifact folder holds: model, calibration, conformal sets and input ranges.
"""
