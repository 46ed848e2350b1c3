"""In compose, before anything else: the home's profile, Airflow's database, the ledger's migrations."""

from stellar.ledger.connect import bring_up_to_date
from stellar.platform.airflow import create_database
from stellar.platform.bootstrap import prepare_home
from stellar.settings import load_settings

settings = load_settings()
prepare_home(settings)
create_database(settings)
for name in bring_up_to_date(settings):
    print("ledger:", name)
