"""What can be asked of a thing: common questions, by which it is measured how different two questions are.

Two questions about one thing are near each other whatever they ask, because the thing is the same and both are short. What they
ask is told apart by third questions: where one of them is much nearer to "How heavy is it?" than the other, they ask for
different things.
"""

from __future__ import annotations

_LINES = """
How much does it cost? | What is the price of it? | What fee is charged for it? | What is the fine for it? | Is it free?
What discount is there on it? | What is the deposit for it? | How much tax is on it? | What does it pay?
What is its budget? | What is it worth? | How much money does it make? | What is the salary?
How much profit does it make? | What is the interest rate? | How long is it? | How wide is it? | How tall is it?
How high is it? | How deep is it? | How thick is it? | How large is it? | What is its area? | What is its volume?
How much does it hold? | What is its capacity? | What is its diameter? | What shape is it? | How heavy is it?
How fast is it? | How far does it go? | How far away is it? | How strong is it? | How loud is it? | How bright is it?
How hot is it? | At what temperature does it boil? | At what temperature does it melt?
At what temperature is it stored? | How cold is it? | How hard is it? | How dense is it? | What is its pressure?
How much power does it use? | What is its voltage? | How old is it? | When was it made? | When was it founded?
When was it discovered? | When does it start? | When does it end? | When does it open? | When does it close?
What time does it leave? | What time does it arrive? | How long does it take? | How long does it last?
How often is it done? | On which day is it? | When is it due? | When does it expire? | When was it sold?
When was it opened for the first time? | When was it rebuilt? | How long is it valid? | How long is the guarantee?
Where is it? | In which city is it? | In which country is it? | On which floor is it? | Which room is it in?
Which street is it in? | Where does it come from? | Where does it go? | Where was it born? | Where was it made?
Where is it kept? | Where can I buy it? | Who made it? | Who owns it? | Who leads it? | Who invented it? | Who wrote it?
Who designed it? | Who works there? | Who won it? | Who is responsible for it? | Who uses it? | Who pays for it?
Who approves it? | Who is it for? | Who founded it? | Who lives there? | What is it called? | What was it called before?
What is it named after? | What does its name mean? | What does it look like? | What colour is it? | What is it made of?
What material is it? | What is in it? | What does it taste like? | What does it smell like? | What does it eat?
What does it drink? | What language is spoken there? | What currency is used there? | What religion is there?
How many are there? | How many people work there? | How many people live there? | How many members does it have?
How many pages does it have? | How many rooms does it have? | How many parts does it have?
How many seats does it have? | How many children does it have? | How many animals are there?
How many tickets are sold? | How many hours is it? | What is its number? | What is its code? | What is its password?
What is its phone number? | What is its email address? | What is its address? | What is its website?
What is its account number? | What is its serial number? | What is its version? | What is its model? | What is its size?
What is its type? | What is its symbol? | What is its flag? | What is its motto? | Which tool does it need?
Which oil does it need? | Which battery does it need? | Which software does it use? | Which port does it use?
Which format does it have? | Which key do I press? | How do I open it? | How do I use it? | How do I fix it?
How do I clean it? | How do I cancel it? | How do I return it? | How do I pay for it? | How do I get there?
How does it work? | What does it mean? | What is wrong with it? | Why does it not work? | Why is it important?
What are the rules? | What is forbidden? | What is allowed? | What is the limit? | What is the least?
What is the most? | What is the average? | What is the rate? | What is the risk? | Is it dangerous?
What are its side effects? | What is the dose? | How much should I take? | Is it healthy? | Which one is first?
Which one is last? | Which one is next? | What comes after it? | What came before it? | What is near it?
What belongs to it? | What is included? | What is it used for? | What is it known for? | What is its purpose?
What is its history? | What is its weather like? | How many stars does it have? | How good is it?
What do people say about it? | What is best there? | What grows there? | What is sold there? | What is shown there?
What is taught there? | What is spoken about? | What is planned? | How is it paid? | How is it made?
How is it written? | How is it marked? | How is it counted? | How is it sent? | How is it cooked?
"""
QUESTIONS = tuple(each.strip() for line in _LINES.splitlines() for each in line.split("|") if each.strip())
