"""Creates, finds, changes and removes a todo by a client that was generated from the document of a gateway.

Arguments: the folder of the client, the gateway's URL, a token.
"""

import sys

folder, url, token = sys.argv[1:]
sys.path.insert(0, folder)

from client import AuthenticatedClient
from client.api.todos import create_todos, find_todos, get_todos, patch_todos, remove_todos
from client.models import Changes, Error, NewTodo, Todo, TodosPage

client = AuthenticatedClient(base_url=url, token=token)

made = create_todos.sync(client=client, body=NewTodo(text="by Python"))
assert isinstance(made, Todo) and made.text == "by Python" and made.done is False, made

page = find_todos.sync(client=client, textin=["by Python", "nothing"], donene=True, limit=10)
assert isinstance(page, TodosPage) and [todo.id for todo in page.data] == [made.id], page

changed = patch_todos.sync(made.id, client=client, body=Changes(done=True))
assert isinstance(changed, Todo) and changed.done is True, changed

read = get_todos.sync(made.id, client=client)
assert isinstance(read, Todo) and read.done is True, read

refused = create_todos.sync(client=client, body=NewTodo(text=" "))
assert isinstance(refused, Error) and refused.code == 400 and "text" in refused.errors, refused

removed = remove_todos.sync(made.id, client=client)
assert isinstance(removed, Todo) and removed.id == made.id, removed

gone = get_todos.sync(made.id, client=client)
assert isinstance(gone, Error) and gone.name == "NotFound", gone
