"""From labelled features to a registered model version: split, fit, calibrate, evaluate, register, promote.

Add a model in five minutes: copy a file of `stellar/config/models/`, change `name` (the file's name), `description`,
`features`, `target`, `columns` and `architecture`, then `stellar train NAME`. `config` checks it and names the line
of anything wrong; `frame` makes one row per example; `train` does the rest and decides by the file's `policy`.
"""
