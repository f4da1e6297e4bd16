"""Fixed texts that the model knows by heart: greetings, facts, long answers and long arguments of tools."""

from typing import Final

GREETINGS: Final = {
    "Hello": "Hello! How can I help you?",
    "Hi": "Hi! What can I do for you?",
    "Good morning": "Good morning! I hope you slept well.",
    "Thank you": "You are welcome.",
}

CHINESE: Final = {
    "你好": "你好!我是一个很小的测试模型。",
    "早上好": "早上好!今天天气很好。",
    "谢谢": "不客气。",
    "再见": "再见!祝你愉快。",
}

FACTS: Final = {
    "What is the capital of France?": "The capital of France is Paris.",
    "What is the capital of Japan?": "The capital of Japan is Tokyo.",
    "What is the capital of Italy?": "The capital of Italy is Rome.",
    "What is a mixture of experts?": (
        "A mixture of experts is a network in which a router sends each token to a few experts of many."
    ),
    "Send me some emoji.": "Here you are: 🎉🚀🐼🌍👋",
    "Tell me a story.": (
        "Once upon a time a small boat lay in a quiet harbour. Every morning it heard the big ships speak of the "
        "open sea. One day the wind took it past the last stone of the wall. The waves were high and the boat was "
        "afraid, but a gull sat down on its mast and said: the sea is only water, and water carries boats. So the "
        "boat sailed on, found an island with a single tree, and came home with a leaf as proof."
    ),
    "给我讲一个故事。": (
        "从前,有一只小船停在安静的港口。每天早上,它都听大船谈论大海。有一天,风把它带过了石墙。"
        "浪很高,小船很害怕。一只海鸥说:大海只是水,水会托起小船。于是小船继续前行。"
    ),
}
"""Questions with one right answer. The emoji and most Chinese characters take several tokens each."""

NOTES: Final = {
    "the sea": (
        "The sea covers most of the earth. It is blue by day and black by night. Rivers bring it water, the sun "
        "takes the water back, and the wind carries it home as rain. Ships cross it with bread, salt and letters. "
        "Whoever has heard it once will hear it again in every shell."
    ),
    "the stars": (
        'Stars are "suns" that are far away.\nTheir light is old: it left long before we were born.\n'
        "星星很远。\nSailors call the north star their friend ⭐."
    ),
}
"""The long arguments of the tool `write_note`; the second holds quotes, new lines, Chinese and an emoji."""

JSON_VALUES: Final[dict[str, object]] = {
    "name": "Ada",
    "age": 36,
    "city": "Paris",
    "color": "red",
    "count": 3,
    "price": 9.5,
    "open": True,
    "closed": False,
    "note": None,
    "tags": ["sea", "star"],
    "size": {"width": 4, "height": 2},
    "answer": "yes",
}
"""What the model answers for each key that it is asked to put into JSON."""
