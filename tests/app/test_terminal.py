"""How the command line says what rooms below it say."""

from __future__ import annotations

import pytest

from semanifold.app.answers import Answer
from semanifold.app.terminal import Speech, as_options


@pytest.mark.parametrize(
    ("python", "command"),
    [
        ("a exists; give another out=, or overwrite=True.", "a exists; give another --out, or --overwrite."),
        ('name it by space="w".', "name it by --space w."),
        ("take it with space=\"w+\", or space='s'.", "take it with --space w+, or --space s."),
        ("say which with latents_space=.", "say which with --latents-space."),
        ("Use it with generator=/a/b.pt", "Use it with --generator /a/b.pt"),
        ("give inputs=FOLDER.", "give --inputs FOLDER."),
        ("leave seeds= and label= out, or use gifs=False.", "leave --seeds and --class out, or use --no-gifs."),
        ("face=2 is the next, crop=left,top,right,bottom a part.", "--face 2 is the next, --crop left,top,right,bottom a part."),
        ("give pixel_range=(0, 255), classes=3 or my_space=4.", "give pixel_range=(0, 255), classes=3 or my_space=4."),
    ],
)
def test_arguments_of_python_are_said_as_options(python: str, command: str) -> None:
    assert as_options(python) == command


def test_answers_and_remarks_are_said_with_options(capsys: pytest.CaptureFixture[str]) -> None:
    speech = Speech()
    speech.tell(Answer(said=("give out=.",)))
    speech.remark("name it by space='w'.")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("give --out.\n", "name it by --space w.\n")
    assert (speech.said, speech.remarks) == (["give --out."], ["name it by --space w."])
