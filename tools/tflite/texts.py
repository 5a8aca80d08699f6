"""Varied English sentences, written for this project, that exported files are calibrated with and checked on."""

from __future__ import annotations

SENTENCES = (
    "Yes.",
    "No, thank you.",
    "Where is the nearest pharmacy?",
    "The film drags for an hour and then, without warning, breaks your heart.",
    "An overlong, noisy and charmless sequel that nobody asked for.",
    "I laughed until the people in front of me turned round to stare.",
    "My card was declined twice at the supermarket although there is money in the account.",
    "How do I change the address that my statements are sent to?",
    "Please cancel the order I placed this morning and refund the shipping fee.",
    "Parliament will vote on the revised budget next Tuesday, the finance minister said on Friday.",
    "Shares of the chip maker fell 4.7% after it warned of weaker demand in the second quarter.",
    "Heavy rain closed the coastal road between Porto and Aveiro for most of the weekend.",
    "Marie Curie won the Nobel Prize in Physics in 1903 and the Nobel Prize in Chemistry in 1911.",
    "John Smith lives in New York and works for the United Nations.",
    "The Danube flows through Vienna, Bratislava, Budapest and Belgrade before it reaches the Black Sea.",
    "Mutations in the BRCA1 gene raise the lifetime risk of breast and ovarian cancer.",
    "The patient was given 20 mg of the drug twice a day and recovered within a week.",
    "Photosynthesis turns carbon dioxide and water into glucose and oxygen, using the energy of sunlight.",
    "A prime number is divisible by no positive integer other than one and itself.",
    "The function returns None if the key is missing; otherwise it raises a TypeError.",
    "git commit -m 'fix the off-by-one error in the tokenizer' && git push origin main",
    "WIN a FREE phone!!! Text GO to 80085 now, only 1.50/min, reply STOP to end",
    "hey r u coming 2nite or not?? lol call me when ur done x",
    "Two dogs run across a snowy field while a man in a red jacket watches them.",
    "A woman is slicing an onion in a kitchen. Somebody is preparing food.",
    "Nobody in the village had seen the doctor since the night of the storm.",
    "It was the kind of cold that made the iron gate sing when the wind touched it.",
    "She had promised herself, on the long walk home, never to speak to him of the letter again.",
    "The defendant shall pay the costs of the proceedings within thirty days of this judgment.",
    "Preheat the oven to 200 degrees, whisk three eggs with the sugar and fold in the flour.",
    "Simmer the tomatoes with garlic, basil and a pinch of salt until the sauce thickens.",
    "Liverpool beat Real Madrid 2-1 with a header in the 89th minute.",
    "The striker missed two penalties, yet the crowd sang his name until the lights went out.",
    "Turn left at the church, follow the river for two miles and park behind the old mill.",
    "Our flight was delayed by six hours, the hotel had lost the booking and it rained every day.",
    "The room was spotless, the staff could not have been kinder, and breakfast was superb.",
    "I would not recommend this vacuum cleaner to anyone who owns a carpet.",
    "Battery life is mediocre, but the screen and the keyboard are the best in this class.",
    "In 1492 three ships left the harbour of Palos; only two of them came back.",
    "The treaty was signed in Westphalia in 1648 and ended thirty years of war.",
    "Interest rates stayed unchanged at 3.25 percent, as most economists had expected.",
    "The company employs 12,400 people in 31 countries and is listed in Frankfurt.",
    "What is the capital of Australia, and when was it founded?",
    "Who wrote the opera that was first performed in Cairo in 1871?",
    "Can a tenant terminate the lease early if the heating does not work?",
    "Although the sample was small, the effect was significant (p < 0.01) in both groups.",
    "We propose a simple method that needs no labels and runs in linear time.",
    "Glaciers in the Alps have lost more than half of their volume since 1900.",
    "The café on Rue de l’Université serves crème brûlée that is worth the detour.",
    "Zürich, Kraków and São Paulo all appear, correctly spelled, in the annual report.",
    "Prices range from €9.99 to £24.50; delivery is free from $50.",
    "Mix 1/2 cup of rice with 3/4 cup of water, or 120 g with 180 ml.",
    "See https://example.org/docs?page=2#usage or write to help@example.org for details.",
    "He whispered: 'Don't open it' - but the box was already empty.",
    "To be fair, the second half is not bad; it is merely unnecessary.",
    "Never have so many talented actors been given so little to do.",
    "The violin enters quietly, almost shyly, above a held note in the cellos.",
    "Children under twelve travel free when accompanied by an adult with a valid ticket.",
    "Warning: do not immerse the device in water and keep it away from open flames.",
    "The committee regrets to inform you that your application was not successful.",
    "Happy birthday! May the coming year bring you health, joy and a little adventure.",
    "The spacecraft entered orbit around Mars on 18 February after a journey of seven months.",
    "Honeybees tell each other with a dance where flowers grow, how far and in which direction.",
    "Everything that could be sold had been sold, and what was left fitted into a single suitcase.",
)


def passages(sentences: tuple[str, ...], length: int) -> list[str]:
    """`sentences` joined, in order, into passages of at least `length` characters, for long inputs."""
    joined, current = [], ""
    for sentence in sentences:
        current = f"{current} {sentence}".strip()
        if len(current) >= length:
            joined.append(current)
            current = ""
    return joined
