"""The closed vocabulary of the lessons: the model is only ever asked about these words."""

from typing import Final

REPEATABLE: Final = tuple(
    """red blue green gold black white pink gray cat dog bird fish horse mouse wolf bear tree river stone cloud
    light moon sun star house door window table chair lamp book pen bread milk apple pear salt sugar rice soup
    ship train road bridge hill lake sea island north south east west spring summer autumn winter day night
    hand heart song drum""".split()
)
"""Sixty-two words that "Repeat after me" and "Search for" take."""

NAMES: Final = tuple(
    "Ada Alan Barbara Claude Dennis Donald Edsger Frances Grace Ken Linus Margaret Niklaus Tim".split()
)
CITIES: Final = tuple("Paris London Tokyo Beijing Berlin Madrid Rome Oslo Cairo Lima Vienna Delhi".split())
SKIES: Final = tuple("sunny rainy cloudy windy snowy foggy".split())
NUMBERS: Final = tuple(map(str, range(100)))
COUNTS: Final = (3, 5, 8, 10, 20, 30, 50, 100)
"""How far the model is asked to count."""

PLANETS: Final = ("Mars", "Venus", "Saturn", "Jupiter")

FILLER: Final = tuple(
    """the a of to and in is it you that he was for on are with as his they be at one have this from or had by hot
    but some what there we can out other were all your when up use word how said an each she which do their time if
    will way about many then them would write like so these her long make thing see him two has look more go come
    did my no most number who over know than call first people may down been now find any new work part take get
    place made live where after back little only round man year came show every good me give our under name very
    please helpful assistant answer short always never system rule polite test short question thank user""".split()
)
"""Common English words of system texts, of descriptions of tools and of questions that the model cannot answer."""
