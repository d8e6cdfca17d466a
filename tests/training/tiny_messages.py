"""Messages of a few words that the tiny encoder knows."""

from shoal.tasks import LabelContract

LABEL = LabelContract(("order", "refund", "cancel"))
SAID = {
    "order": ("my order", "the parcel", "my parcel arrived", "order the parcel please"),
    "refund": ("refund it", "refund please", "please refund my parcel", "a refund"),
    "cancel": ("cancel it", "please cancel", "cancel my word", "cancel the order"),
}
