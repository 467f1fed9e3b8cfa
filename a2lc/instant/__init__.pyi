from .features import features_key as features_key
from .features import kept_features as kept_features
from .features import mask_features as mask_features
from .outlook import Outlook as Outlook
from .outlook import look_ahead as look_ahead
from .regressions import Instant as Instant
from .regressions import Suspicion as Suspicion
from .settings import InstantSettings as InstantSettings
