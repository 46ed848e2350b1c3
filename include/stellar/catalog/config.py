"""The catalogue's configuration, which lies on the lowest floor since the features and the flow read it too."""

from stellar.profile import Curated, Matches, Profile, load_curated, load_profile

__all__ = ["Curated", "Matches", "Profile", "load_curated", "load_profile"]
