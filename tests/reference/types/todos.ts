// What a program in TypeScript does with the services of examples/todo, by the types that `rachis types` writes.
import { feathers, type Paginated } from '@feathersjs/feathers'
import rest from '@feathersjs/rest-client'
import type { NewTodo, ServiceTypes, Todo } from './services.js'

const app = feathers<ServiceTypes>()
app.configure(rest('http://127.0.0.1').fetch(fetch))

export async function program(): Promise<string> {
  const todos = app.service('todos')
  const text: NewTodo = { text: 'write' }
  const made: Todo = await todos.create(text)
  const page: Paginated<Todo> = await todos.find({
    query: { done: false, id: { $gt: 0, $in: [made.id] }, $sort: { text: 1 }, $select: ['text'], $limit: 5, $or: [{ done: true }] }
  })
  const changed = await todos.patch(made.id, { done: true })
  todos.on('created', (todo) => console.log(todo.text.length))
  // @ts-expect-error It has no such field.
  await todos.create({ txt: 'write' })
  // @ts-expect-error It is a truth value.
  await todos.patch(made.id, { done: 'yes' })
  // @ts-expect-error Queries name fields.
  await todos.find({ query: { dne: true } })
  // @ts-expect-error Its operand is a number.
  await todos.find({ query: { id: { $gt: 'a' } } })
  // @ts-expect-error It takes one at a time.
  await todos.create([text])
  // @ts-expect-error The service does not offer it.
  await todos.update(made.id, text)
  // A service that describes nothing takes and returns anything.
  const nodes: any = await app.service('nodes').find({ query: { app: 'todo' } })
  return page.data.map((todo) => todo.text).join() + String(changed.done) + String(nodes)
}
