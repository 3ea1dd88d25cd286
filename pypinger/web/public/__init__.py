"""
The public page (contract, section 7): what everybody may know of some tasks.

Note [What is public]
~~~~~~~~~~~~~~~~~~~~~
Of a task: its configured name, its status, its uptime, and when its incidents began and ended. Everything that the page
is made from goes through :class:`~pypinger.web.public.tasks.PublicTask`, which holds no more than that, so nothing else
can get into the HTML, the JSON or an entity tag. A task's id is a hash of its URL, with which a guess can be proved, so
it is no part of it. The page does not follow the stream of changes, which has all tasks; it looks again now and then.
"""
