"""What is said to whatever is not as the format says."""


class Refused(Exception):
    """The archive is damaged, or breaks a rule of the format."""


def expect(condition: object, why: str) -> None:
    if not condition:
        raise Refused(why)
