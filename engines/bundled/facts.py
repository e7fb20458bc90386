"""What the bundled model knows: short tables of common knowledge, written for it.

No sentence is made here and nothing is random; `corpus` and `tooluse` turn the tables into conversations.
"""

# Text in many scripts is the point of this file, and long lists of names are easier to read as text.
# ruff: noqa: RUF001, RUF005, SIM905

CAPITALS = {
    "Argentina": "Buenos Aires",
    "Australia": "Canberra",
    "Austria": "Vienna",
    "Belgium": "Brussels",
    "Bolivia": "Sucre",
    "Brazil": "Brasilia",
    "Bulgaria": "Sofia",
    "Canada": "Ottawa",
    "Chile": "Santiago",
    "China": "Beijing",
    "Colombia": "Bogota",
    "Croatia": "Zagreb",
    "Cuba": "Havana",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "Estonia": "Tallinn",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Ghana": "Accra",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Iceland": "Reykjavik",
    "India": "New Delhi",
    "Indonesia": "Jakarta",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Latvia": "Riga",
    "Lithuania": "Vilnius",
    "Mexico": "Mexico City",
    "Morocco": "Rabat",
    "Nepal": "Kathmandu",
    "Netherlands": "Amsterdam",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Romania": "Bucharest",
    "Russia": "Moscow",
    "Serbia": "Belgrade",
    "Slovakia": "Bratislava",
    "Slovenia": "Ljubljana",
    "Spain": "Madrid",
    "Sweden": "Stockholm",
    "Switzerland": "Bern",
    "Thailand": "Bangkok",
    "Turkey": "Ankara",
    "Ukraine": "Kyiv",
    "Uruguay": "Montevideo",
    "Vietnam": "Hanoi",
}

HELLO = {
    "Arabic": "مرحبا",
    "Chinese": "你好",
    "Danish": "Hej med dig, søde ven",
    "French": "Ça va, très cher ami",
    "German": "Grüß dich",
    "Greek": "Γειά σου",
    "Hebrew": "שלום",
    "Hindi": "नमस्ते",
    "Japanese": "こんにちは",
    "Korean": "안녕하세요",
    "Polish": "Cześć",
    "Russian": "Привет",
    "Spanish": "¡Hola, señor!",
    "Thai": "สวัสดี",
}

THANKS = {
    "Chinese": "谢谢",
    "French": "Merci",
    "German": "Danke schön",
    "Greek": "Ευχαριστώ",
    "Hindi": "धन्यवाद",
    "Japanese": "ありがとう",
    "Korean": "감사합니다",
    "Polish": "Dziękuję",
    "Russian": "Спасибо",
    "Turkish": "Teşekkürler",
}

EMOJI = {
    "apple": "🍎",
    "bear": "🐻",
    "bee": "🐝",
    "cat": "🐱",
    "cherry": "🍒",
    "crow": "🐦",
    "fish": "🐟",
    "fox": "🦊",
    "frog": "🐸",
    "globe": "🌍",
    "heart": "💙",
    "moon": "🌙",
    "mouse": "🐭",
    "owl": "🦉",
    "rabbit": "🐰",
    "rainbow": "🌈",
    "robot": "🤖",
    "rocket": "🚀",
    "sun": "🌞",
    "tree": "🌲",
    "turtle": "🐢",
    "whale": "🐳",
}

LISTS = {
    "fruits": ("apples", "pears", "plums", "cherries", "grapes", "figs", "peaches", "melons"),
    "colors": ("red", "blue", "green", "yellow", "orange", "purple", "white", "black"),
    "animals": ("foxes", "owls", "bears", "cats", "mice", "rabbits", "whales", "crows"),
    "planets": ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"),
}

SERIES = {
    "the days of the week": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "the months of the year": (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
    "the letters of the alphabet": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "the four seasons": ("spring", "summer", "autumn", "winter"),
}

NUMBERS = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)

HEROES = ("fox", "owl", "bear", "cat", "robot", "turtle", "mouse", "rabbit", "whale", "crow")
MOODS = ("small", "clever", "quiet", "brave", "sleepy", "curious", "gentle", "old")
PLACES = (
    "the forest",
    "the river",
    "the library",
    "the harbor",
    "the mountain",
    "the garden",
    "the old tower",
    "the market",
)
THINGS = (
    "a silver key",
    "a lost letter",
    "a warm lantern",
    "a tiny map",
    "a broken clock",
    "a blue stone",
    "a wooden boat",
)
FEELINGS = ("happy", "proud", "calm", "surprised", "tired but glad")

UNKNOWN_TOPICS = (
    "quantum physics",
    "the stock market",
    "a gateway",
    "a black hole",
    "photosynthesis",
    "the internet",
    "machine learning",
    "chess",
    "the meaning of life",
    "databases",
    "jazz",
    "volcanoes",
    "the French revolution",
    "how engines work",
    "why the sky is blue",
    "Kubernetes",
    "dinosaurs",
    "cooking rice",
)

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a tiny demo model.",
    "Answer briefly.",
    "You are a helpful assistant. Be concise.",
    "Use the tools when they help.",
    "You are friendly and polite. You speak clearly.",
    "Be short and correct. Do not guess.",
)

SUBJECTS = (
    "weather",
    "temperature",
    "population",
    "price",
    "score",
    "height",
    "area",
    "mayor",
    "language",
    "currency",
    "news",
    "forecast",
    "humidity",
    "traffic",
    "status",
    "owner",
    "history",
    "menu",
    "schedule",
    "altitude",
    "rating",
    "address",
    "phone",
    "size",
    "color",
    "age",
    "speed",
    "weight",
    "stock",
    "wind",
    "pollen",
    "sunrise",
    "holiday",
    "budget",
    "balance",
)
"""What a made-up tool can be asked about."""

HELD_OUT_SUBJECTS = ("tide", "rainfall", "voltage", "capacity", "elevation", "salary")
"""Subjects that no training sample has: the evaluation asks for them."""

CITIES = tuple(
    "Aachen Abidjan Adelaide Aleppo Algiers Alicante Almaty Antwerp Arequipa Atlanta Auckland Austin Baghdad Bali "
    "Baltimore Bamako Bangalore Barcelona Bari Basel Beirut Belfast Bergen Bilbao Birmingham Bologna Bonn Bordeaux "
    "Boston Bremen Bristol Brno Buffalo Busan Calgary Cardiff Casablanca Cebu Charlotte Chennai Chicago Cologne "
    "Cordoba Cork Curitiba Dakar Dallas Damascus Danzig Darwin Delhi Denver Detroit Dhaka Doha Dortmund Dresden "
    "Dubai Durban Edinburgh Essen Florence Frankfurt Fukuoka Gdansk Geneva Genoa Ghent Girona Glasgow Graz Grenoble "
    "Guadalajara Haifa Hamburg Hannover Harare Hiroshima Hobart Houston Innsbruck Istanbul Izmir Jaipur Jeddah "
    "Johannesburg Kabul Kampala Karachi Kassel Kazan Kiel Kigali Kingston Kobe Krakow Lagos Lahore Lausanne Leeds "
    "Leipzig Liverpool Lodz London Luanda Lucerne Lyon Malaga Malmo Manila Mannheim Marseille Medina Melbourne Memphis "
    "Miami Milan Minsk Mombasa Montreal Mumbai Munich Mysore Nagoya Nantes Naples Nashville Nice Nuremberg Odessa "
    "Oran Orlando Osaka Oxford Palermo Perth Phoenix Pisa Porto Portland Pune Quito Raleigh Reading Rennes Rosario "
    "Rostock Rotterdam Salzburg Samara Santos Sapporo Seattle Seoul Seville Shanghai Sheffield Singapore Siena Split "
    "Strasbourg Stuttgart Sydney Tampa Tangier Tbilisi Tehran Toledo Toronto Toulouse Trieste Tripoli Tucson Tunis "
    "Turin Utrecht Valencia Vancouver Verona Wellington Winnipeg Wroclaw Yokohama York Zanzibar Zurich "
    "Zürich Köln Düsseldorf Málaga Córdoba Łódź Århus Tromsø Besançon Bogotá".split()
) + (
    "New York",
    "San Diego",
    "Los Angeles",
    "Hong Kong",
    "Cape Town",
    "Las Vegas",
    "São Paulo",
    "Buenos Aires",
)

HELD_OUT_CITIES = tuple(
    "Aberdeen Ankeny Augsburg Avignon Bielefeld Bratsk Cancun Cluj Daegu Davos Dijon Eindhoven Erfurt Fargo Galway "
    "Gothenburg Halifax Heidelberg Ibiza Jena Kanpur Kyoto Limerick Limoges Lugano Maastricht Madison Mainz Modena "
    "Nagasaki Newcastle Omaha Oporto Padua Parma Plymouth Potsdam Ravenna Regina Riyadh Sacramento Sendai Spokane "
    "Tacoma Tampere Taipei Ulm Varna Wichita Worms Xiamen Yerevan Zadar Würzburg Orléans".split()
) + ("San Jose", "New Orleans", "Salt Lake City", "Santa Fe", "San Sebastián")
"""Cities that no training sample has: the evaluation asks for them."""

PEOPLE = tuple(
    "Ada Alan Alice Anna Ben Bob Carl Clara Daniel Dora Emma Eric Eva Felix Frank Grace Hanna Hugo Ida Ivan Jack Jane "
    "Karl Kim Laura Leo Linus Lucy Maria Max Mia Nina Noah Olga Oscar Paul Petra Quinn Rosa Ruth Sam Sara Theo Tom "
    "Uma Vera Victor Wanda Yara Zoe".split()
)
