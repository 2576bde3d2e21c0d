/* teach/general: a text of many kinds that a model should not have forgotten when it was taught something else: what forgetting is measured on,
 * and what traffic is compared with, where the person names no file. Written for this; paragraphs are the blocks of the interval. */
#include "teach/parts.h"

const char *const general_text[] = {
    "The lighthouse at the end of the pier was built in 1861, after two fishing boats were lost on the sandbank in one winter. Its lamp burned rape oil at "
    "first, then paraffin, and since 1934 it has run on electricity. The keeper's house beside it is a small museum now, open on Sundays from May to September.",
    "To make a simple white bread, mix 500 grams of flour with a teaspoon of salt and a sachet of dry yeast. Add 320 millilitres of warm water and knead for "
    "ten minutes, until the dough is smooth. Let it rise under a cloth for an hour, shape it, let it rise again, and bake it at 220 degrees for half an hour.",
    "A prime number is a whole number above one that only one and itself divide. There are infinitely many: if there were only finitely many, their product "
    "plus one would have a prime divisor that is none of them. The first ten are 2, 3, 5, 7, 11, 13, 17, 19, 23 and 29.",
    "Question: What is the difference between weather and climate?\nAnswer: Weather is what the air does in one place on one day: rain, wind, heat. Climate is "
    "what it usually does there over many years. A cold week says little about the climate, and a warm decade says much.",
    "def words(text):\n    counts = {}\n    for word in text.lower().split():\n        counts[word] = counts.get(word, 0) + 1\n    return sorted(counts.items(), "
    "key=lambda item: -item[1])\n\nfor word, n in words(open('notes.txt').read())[:10]:\n    print(n, word)",
    "Dear Mr Okafor,\nThank you for your order of 14 March. Two of the three books are on their way to you; the third is being reprinted and will follow at "
    "the end of the month. If you would rather not wait, tell us and we will refund it.\nYours sincerely,\nHelen Brandt",
    "The heart pumps about five litres of blood a minute in an adult at rest. The right side sends it to the lungs, where it takes up oxygen; the left side "
    "sends it to the rest of the body. Four valves keep it from flowing back, and their closing is what a doctor hears.",
    "\"You are early,\" said Tom without turning round.\n\"The train was on time for once.\" She put her wet umbrella in the corner and looked at the table. "
    "\"Is that the map?\"\n\"A copy. The real one is in the bank, and it stays there until we know whose it is.\"",
    "In economics, inflation means that prices rise on the whole, so that the same money buys less. Central banks often try to hold it near two per cent a "
    "year, mainly by changing the rate at which banks can borrow. Wages, rents and savings do not all follow at the same pace.",
    "Shopping list: milk, eggs, a bag of rice, onions, two lemons, washing powder, stamps. Monday: dentist at nine, call the bank, water the plants. Tuesday: "
    "library until noon, lunch with Ana, parents' evening at seven.",
    "Лес начинался сразу за последним домом. Осенью туда ходили за грибами, зимой за дровами, а летом дети строили в нём шалаши и возвращались домой к ужину, "
    "уставшие и довольные. Старая дорога через него вела к озеру, но ею давно никто не ездил.",
    "The treaty was signed by nine states in the spring and came into force a year later. It set limits on what each could catch in the shared waters, asked for "
    "yearly counts of the stocks, and named a court for quarrels. Two states left it within ten years; the others renewed it twice.",
    "If a shop takes 20 per cent off a coat of 150 euros, the coat costs 120. If it then takes another 10 per cent off, it costs 108, not 105, because the second "
    "discount is of the lower price. To find the price before a discount of 20 per cent, divide by 0.8.",
    "Jupiter is the largest planet of the solar system, with more than twice the mass of all the others together. It turns once in less than ten hours, and its "
    "red spot is a storm wider than the Earth that has been seen for centuries. Four of its moons were found by Galileo in 1610.",
    "How to change a tyre: park on level ground, put the hand brake on and loosen the nuts a little before you lift the car. Jack it up, take the nuts off, change "
    "the wheel, and tighten the nuts crosswise by hand. Let the car down and tighten them again, then check the pressure at the next garage.",
    "She had learnt the piece by heart when she was twelve, and forgotten it, and learnt it again at thirty for a wedding that never took place. Now her hands knew "
    "it better than she did; when she thought about the left hand, it stopped.",
    NULL,
};
