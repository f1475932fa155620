// Section 4: who hears of what.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { call, http, listen, unique } from '../lib/checks.mjs'
import { socket } from '../lib/clients.mjs'

/** A new user: its id and a token. */
async function someone() {
  const credentials = { email: `${unique('user')}@example.org`, password: 'pw' }
  const { json } = await http('POST', '/users', { body: credentials })
  const session = await http('POST', '/authentication', { body: { strategy: 'local', ...credentials } })
  return { id: json.id, jwt: session.json.accessToken }
}

/** A socket that logged in as a user. */
async function loggedIn(user, options) {
  const bare = await socket(options)
  const [error] = await call(bare, 'create', 'authentication', { strategy: 'jwt', accessToken: user.jwt }, {})
  assert.equal(error, null)
  return bare
}

const create = async (path, body, user) => {
  const headers = user ? { Authorization: `Bearer ${user.jwt}` } : {}
  const { status, json } = await http('POST', `/${path}`, { body, headers })
  assert.equal(status, 201, JSON.stringify(json))
  return json
}

/**
 * Waits until everything that was caused before has reached a listener of a service that everyone hears. Events of
 * different services may overtake each other, hence the pause.
 */
async function everythingArrived(bare) {
  const said = listen(bare, 'messages created')
  const text = unique('marker')
  await create('messages', { text })
  await said.first((message) => message.text === text)
  await new Promise((resolve) => setTimeout(resolve, 100))
}

describe('The channel of everyone', () => {
  it('gets created, updated, patched and removed, each once', async () => {
    const bare = await socket()
    const heard = ['created', 'updated', 'patched', 'removed'].map((event) => listen(bare, `messages ${event}`))
    const { id } = await create('messages', { text: 'a' })
    await http('PUT', `/messages/${id}`, { body: { text: 'b' } })
    await http('PATCH', `/messages/${id}`, { body: { read: true } })
    await http('DELETE', `/messages/${id}`)
    await everythingArrived(bare)
    const mine = heard.map(({ came }) => came.filter((message) => message.id === id))
    assert.deepEqual(mine, [
      [{ text: 'a', id }], [{ text: 'b', id }], [{ text: 'b', read: true, id }], [{ text: 'b', read: true, id }]
    ])
  })

  it('reaches whoever caused it, and those who logged in', async () => {
    const member = await loggedIn(await someone())
    const said = listen(member, 'messages created')
    const [, made] = await call(member, 'create', 'messages', { text: unique() }, {})
    assert.deepEqual(await said.first(({ id }) => id === made.id), made)
  })

  it('gets an event for each record of many', async () => {
    const bare = await socket()
    const created = listen(bare, 'messages created')
    const patched = listen(bare, 'messages patched')
    const removed = listen(bare, 'messages removed')
    const batch = unique()
    const made = await create('messages', [{ batch, n: 1 }, { batch, n: 2 }, { batch, n: 3 }])
    await http('PATCH', `/messages?batch=${batch}`, { body: { done: true } })
    await http('DELETE', `/messages?batch=${batch}`)
    await everythingArrived(bare)
    const of = (heard) => heard.came.filter((message) => message.batch === batch).sort((a, b) => a.n - b.n)
    assert.deepEqual(of(created), made)
    assert.deepEqual(of(patched), made.map((message) => ({ ...message, done: true })))
    assert.equal(of(removed).length, 3)
  })

  it('gets custom events', async () => {
    const bare = await socket()
    const announced = listen(bare, 'messages announced')
    const text = unique()
    assert.deepEqual((await call(bare, 'announce', 'messages', { text }, {}))[1], { announced: true })
    assert.deepEqual(await announced.first((event) => event.text === text), { text })
    await everythingArrived(bare)
    assert.equal(announced.came.filter((event) => event.text === text).length, 1)
  })

  it('gets events whose payload has fields like those of an envelope', async () => {
    const bare = await socket()
    const created = listen(bare, 'messages created')
    const body = { path: 'other', key: 'k', event: 'e', context: { a: 1 }, name: 'n', data: [1], text: unique() }
    const made = await create('messages', body)
    assert.deepEqual(await created.first(({ text }) => text === body.text), { ...body, id: made.id })
  })

  it('gets nothing from services that publish nothing', async () => {
    const bare = await socket()
    const paths = ['people', 'people-customid', 'echo', 'orgs/acme/echo', 'orgs/:orgId/echo', 'meta']
    const heard = paths.map((path) => listen(bare, `${path} created`))
    for (const path of ['people', 'people-customid', 'echo', 'orgs/acme/echo', 'meta']) await create(path, { name: unique() })
    await everythingArrived(bare)
    assert.deepEqual(heard.map(({ came }) => came.length), [0, 0, 0, 0, 0, 0])
  })

  it('gets the one echo that publishes', async () => {
    const bare = await socket()
    const heard = listen(bare, 'api/v1/echo created')
    const name = unique()
    await create('api/v1/echo', { name })
    assert.equal((await heard.first(({ data }) => data.name === name)).method, 'create')
  })
})

describe('The channel of those who logged in', () => {
  it('gets the events of secured, and strangers do not', async () => {
    const user = await someone()
    const [stranger, member] = [await socket(), await loggedIn(await someone())]
    const [outside, inside] = [listen(stranger, 'secured created'), listen(member, 'secured created')]
    const made = await create('secured', { text: unique() }, user)
    assert.deepEqual(await inside.first(({ id }) => id === made.id), made)
    assert.equal(made.userId, user.id)
    await everythingArrived(stranger)
    assert.deepEqual(outside.came, [])
  })

  it('is left at a logout, after which everyone\'s events still come', async () => {
    const user = await someone()
    const [leaver, member] = [await loggedIn(user), await loggedIn(await someone())]
    const [left, stayed] = [listen(leaver, 'secured created'), listen(member, 'secured created')]
    assert.equal((await call(leaver, 'remove', 'authentication', null, {}))[0], null)
    const made = await create('secured', { text: unique() }, user)
    await stayed.first(({ id }) => id === made.id)
    await everythingArrived(leaver)
    assert.deepEqual(left.came, [])
  })

  it('is joined by a login at the handshake', async () => {
    const user = await someone()
    const member = await socket({ extraHeaders: { Authorization: `Bearer ${user.jwt}` } })
    const [inside, all] = [listen(member, 'notes created'), listen(member, 'muted removed')]
    const made = await create('notes', { userId: user.id })
    await inside.first(({ id }) => id === made.id)
    const { id } = await create('muted', {})
    await http('DELETE', `/muted/${id}`)
    await all.first((removed) => removed.id === id)
  })
})

describe('The channel of one user', () => {
  let user, other, mine, theirs, stranger
  before(async () => {
    [user, other] = [await someone(), await someone()]
    mine = await loggedIn(user)
    theirs = await loggedIn(other)
    stranger = await socket()
  })

  it('gets what is created for that user, and nobody else does', async () => {
    const heard = [mine, theirs, stranger].map((bare) => listen(bare, 'notes created'))
    const made = await create('notes', { userId: user.id, text: unique() })
    assert.deepEqual(await heard[0].first(({ id }) => id === made.id), made)
    await everythingArrived(stranger)
    assert.deepEqual([heard[1].came, heard[2].came], [[], []])
  })

  it('gets what is created on every socket of that user', async () => {
    const second = await loggedIn(user, { transports: ['polling'] })
    const heard = [mine, second].map((bare) => listen(bare, 'notes created'))
    const made = await create('notes', { userId: user.id })
    for (const each of heard) await each.first(({ id }) => id === made.id)
  })

  it('comes first, so the user gets the record and everyone else a redacted one', async () => {
    const made = await create('notes', { userId: user.id, text: 'secret' })
    const heard = [mine, theirs, stranger].map((bare) => listen(bare, 'notes patched'))
    await http('PATCH', `/notes/${made.id}`, { body: { text: 'very secret' } })
    const ofMade = ({ id }) => id === made.id
    assert.deepEqual(await heard[0].first(ofMade), { userId: user.id, text: 'very secret', id: made.id })
    for (const each of heard.slice(1)) {
      assert.deepEqual(await each.first(ofMade), { id: made.id, redacted: true, method: 'patch' })
    }
    await everythingArrived(stranger)
    assert.deepEqual(heard.map(({ came }) => came.length), [1, 1, 1])
  })

  it('hears nothing of events that no channel is for', async () => {
    const heard = [mine, stranger].map((bare) => listen(bare, 'notes removed'))
    const made = await create('notes', { userId: user.id })
    await http('DELETE', `/notes/${made.id}`)
    await everythingArrived(stranger)
    assert.deepEqual(heard.map(({ came }) => came), [[], []])
  })

  it('is empty once its sockets are closed, and can be used again', async () => {
    const third = await someone()
    const first = await loggedIn(third)
    first.close()
    await create('notes', { userId: third.id })
    const again = await loggedIn(third)
    const heard = listen(again, 'notes created')
    const made = await create('notes', { userId: third.id })
    await heard.first(({ id }) => id === made.id)
    assert.equal(heard.came.length, 1)
  })
})

describe('A muted event', () => {
  it('is heard by nobody, while the others of that service are', async () => {
    const bare = await socket()
    const [created, patched] = [listen(bare, 'muted created'), listen(bare, 'muted patched')]
    const made = await create('muted', { text: 'quiet' })
    await http('PATCH', `/muted/${made.id}`, { body: { text: 'loud' } })
    await patched.first(({ id }) => id === made.id)
    assert.deepEqual(created.came, [])
  })
})

describe('A method that fails', () => {
  it('fires no event', async () => {
    const bare = await socket()
    const heard = ['patched', 'updated', 'removed'].map((event) => listen(bare, `messages ${event}`))
    await http('PATCH', '/messages/987654', { body: {} })
    await http('PUT', '/messages/987654', { body: {} })
    await http('DELETE', '/messages/987654')
    await everythingArrived(bare)
    assert.deepEqual(heard.map(({ came }) => came.filter(({ id }) => id === 987654)), [[], [], []])
  })
})

describe('Order', () => {
  it('is kept between the events of one service', async () => {
    const bare = await socket()
    const heard = listen(bare, 'messages created')
    const batch = unique()
    for (let n = 0; n < 30; n++) await call(bare, 'create', 'messages', { batch, n }, {})
    await heard.first((message) => message.batch === batch && message.n === 29)
    const numbers = heard.came.filter((message) => message.batch === batch).map(({ n }) => n)
    assert.deepEqual(numbers, Array.from({ length: 30 }, (_, n) => n))
  })
})
