// Section 6: queries, pages and several records at once.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { adapter } from '../lib/adapter.mjs'
import { failsWith, http, unique } from '../lib/checks.mjs'
import { clients } from '../lib/clients.mjs'

const batch = unique()
const PEOPLE = [
  { name: 'Ada', age: 36, created: true }, { name: 'Bo', age: 12, created: false }, { name: 'Cy', age: 50, created: true },
  { name: 'Di', age: 20 }, { name: 'Ed', age: '20' }, { name: 'Fy', age: null }
]

describe('A query', () => {
  let app, people, ids
  before(async () => {
    app = await clients.socketio()
    people = app.service('people')
    ids = []
    for (const person of PEOPLE) ids.push((await people.create({ ...person, batch })).id)
  })
  after(async () => { for (const id of ids) await people.remove(id) })
  const names = async (query) => (await people.find({ query: { batch, ...query } })).map(({ name }) => name)

  it('finds what equals, by value and by type', async () => {
    assert.deepEqual(await names({ name: 'Ada' }), ['Ada'])
    assert.deepEqual(await names({ created: true }), ['Ada', 'Cy'])
    assert.deepEqual(await names({ age: null }), ['Fy'])
  })

  it('knows $lt, $lte, $gt and $gte, which never compare different types', async () => {
    assert.deepEqual(await names({ age: { $lt: 20 } }), ['Bo'])
    assert.deepEqual(await names({ age: { $lte: 20 } }), ['Bo', 'Di'])
    assert.deepEqual(await names({ age: { $gt: 20 } }), ['Ada', 'Cy'])
    assert.deepEqual(await names({ age: { $gte: 20, $lt: 40 } }), ['Ada', 'Di'])
  })

  it('knows $in, $nin and $ne', async () => {
    assert.deepEqual(await names({ name: { $in: ['Bo', 'Cy', 'Zo'] } }), ['Bo', 'Cy'])
    assert.deepEqual(await names({ name: { $nin: ['Bo', 'Cy'] } }), ['Ada', 'Di', 'Ed', 'Fy'])
    assert.deepEqual(await names({ name: { $ne: 'Ada' } }), ['Bo', 'Cy', 'Di', 'Ed', 'Fy'])
  })

  it('knows $or and $and, nested too', async () => {
    assert.deepEqual(await names({ $or: [{ name: 'Ada' }, { age: 12 }] }), ['Ada', 'Bo'])
    assert.deepEqual(await names({ $and: [{ created: true }, { $or: [{ age: 36 }, { age: 12 }] }] }), ['Ada'])
  })

  it('sorts, down and up, by several fields', async () => {
    const query = { created: { $in: [true, false] }, $sort: { created: 1, age: -1 } }
    assert.deepEqual(await names(query), ['Bo', 'Cy', 'Ada'])
  })

  it('sorts types by their rank', async () => {
    assert.deepEqual(await names({ $sort: { age: 1 } }), ['Fy', 'Bo', 'Di', 'Ada', 'Cy', 'Ed'])
  })

  it('limits and skips', async () => {
    assert.deepEqual(await names({ $sort: { name: 1 }, $limit: 2, $skip: 1 }), ['Bo', 'Cy'])
    assert.deepEqual(await names({ $limit: 0 }), [])
  })

  it('selects fields, and always the id', async () => {
    const [ada] = await people.find({ query: { batch, name: 'Ada', $select: ['name'] } })
    assert.deepEqual(ada, { name: 'Ada', id: ids[0] })
    assert.deepEqual(await people.get(ids[1], { query: { $select: ['age'] } }), { age: 12, id: ids[1] })
  })

  it('restricts get, update, patch and remove of one record', async () => {
    const query = { name: 'somebody else' }
    const message = `No record found for id '${ids[0]}'`
    await failsWith(people.get(ids[0], { query }), 404, 'NotFound', message)
    await failsWith(people.update(ids[0], { name: 'X' }, { query }), 404, 'NotFound', message)
    await failsWith(people.patch(ids[0], { name: 'X' }, { query }), 404, 'NotFound', message)
    await failsWith(people.remove(ids[0], { query }), 404, 'NotFound', message)
    assert.equal((await people.get(ids[0])).name, 'Ada')
  })

  it('is refused with filters nobody knows', async () => {
    await failsWith(people.find({ query: { $nonsense: 1 } }), 400, 'BadRequest', 'Invalid filter value $nonsense')
    await failsWith(people.find({ query: { age: { $nonsense: 1 } } }), 400, 'BadRequest', 'Invalid query parameter $nonsense')
    await failsWith(people.find({ query: { $or: [{ age: { $regex: 'x' } }] } }), 400, 'BadRequest', 'Invalid query parameter $regex')
  })
})

describe('A query over REST', () => {
  it('is of strings, which a service without a schema takes for strings', async () => {
    const tag = unique()
    await http('POST', '/messages', { body: { tag, n: 5 } })
    await http('POST', '/messages', { body: { tag, n: '5' } })
    const { json } = await http('GET', `/messages?tag=${tag}&n=5`)
    assert.deepEqual(json.data.map(({ n }) => n), ['5'])
    assert.equal((await http('GET', `/messages?tag=${tag}&n[$gt]=4`)).json.total, 1)
  })

  it('has numbers for $limit, $skip and $sort all the same', async () => {
    const tag = unique()
    await http('POST', '/messages', { body: ['b', 'c', 'a'].map((name) => ({ tag, name })) })
    const { json } = await http('GET', `/messages?tag=${tag}&$limit=1&$skip=1&$sort[name]=-1`)
    assert.deepEqual([json.total, json.limit, json.skip, json.data.map(({ name }) => name)], [3, 1, 1, ['b']])
  })

  it('finds numbers and booleans where a hook turns strings into them', async () => {
    const name = unique()
    const { json } = await http('POST', '/people', { body: { name, age: 7, created: true } })
    for (const query of ['age=7', 'age[$gt]=6', 'age[$in][]=7&age[$in][]=9', `id=${json.id}`, 'created=true', '$or[0][age]=7', '$and[0][age][$lte]=7']) {
      const found = await http('GET', `/people?name=${name}&${query}`)
      assert.deepEqual(found.json, [json], query)
    }
    assert.deepEqual((await http('GET', `/people?name=${name}&created=false`)).json, [])
    await http('DELETE', `/people/${json.id}`)
  })
})

describe('A query by every client', () => {
  // Neither in the order of the alphabet, so that a transport which changes it is found out.
  const RECORDS = [['Ada', 2], ['Bo', 1], ['Cy', 2], ['Di', 1], ['Ed', 3]].map(([name, score]) => ({ name, score }))
  const tag = unique()
  before(async () => { await http('POST', '/messages', { body: RECORDS.map((record) => ({ ...record, tag })) }) })

  for (const [name, connect] of Object.entries(clients)) {
    it(`sorts by two fields, the first one first, over ${name}`, async () => {
      const messages = (await connect()).service('messages')
      const names = async ($sort) => (await messages.find({ query: { tag, $sort } })).data.map((record) => record.name)
      assert.deepEqual(await names({ score: -1, name: 1 }), ['Ed', 'Ada', 'Cy', 'Bo', 'Di'])
      assert.deepEqual(await names({ score: 1, name: -1 }), ['Di', 'Bo', 'Cy', 'Ada', 'Ed'])
      assert.deepEqual(await names({ name: -1, score: 1 }), ['Ed', 'Di', 'Cy', 'Bo', 'Ada'])
    })

    it(`keeps all records that it lists to be kept, over ${name}`, async () => {
      const kept = unique()
      const messages = (await connect()).service('messages')
      const size = 1500
      await messages.create(Array.from({ length: size + 1 }, (_, n) => ({ tag: kept, n: String(n) })))
      const $nin = Array.from({ length: size }, (_, n) => String(n))
      const removed = await messages.remove(null, { query: { tag: kept, n: { $nin } } })
      assert.deepEqual(removed.map(({ n }) => n), [String(size)])
      assert.equal((await messages.find({ query: { tag: kept } })).total, size)
    })
  }
})

describe('Pages', () => {
  let messages, tag
  before(async () => {
    messages = (await clients.socketio()).service('messages')
    tag = unique()
    await messages.create(Array.from({ length: 60 }, (_, n) => ({ tag, n })))
  })

  it('are as large as the default, and at most as large as the maximum', async () => {
    const page = await messages.find({ query: { tag } })
    assert.deepEqual([page.total, page.limit, page.skip, page.data.length], [60, 10, 0, 10])
    const largest = await messages.find({ query: { tag, $limit: 1000 } })
    assert.deepEqual([largest.total, largest.limit, largest.data.length], [60, 50, 50])
  })

  it('begin where $skip says', async () => {
    const page = await messages.find({ query: { tag, $sort: { n: 1 }, $limit: 3, $skip: 57 } })
    assert.deepEqual([page.skip, page.data.map(({ n }) => n)], [57, [57, 58, 59]])
  })

  it('ignore limits and skips that make no sense', async () => {
    for (const $limit of [-1, 'many', null]) {
      const page = await messages.find({ query: { tag, $limit } })
      assert.deepEqual([page.limit, page.data.length], [10, 10], String($limit))
    }
    assert.equal((await http('GET', `/messages?tag=${tag}&$limit=-3&$skip=no`)).json.limit, 10)
  })

  it('are empty where there is a maximum and no default', async () => {
    const people = adapter((await clients.socketio()).service('people'), 'id')
    const { id, name } = await people.create({ name: unique() })
    const page = await people.find({ query: { name }, paginate: { max: 5 } })
    assert.deepEqual([page.total, page.limit, page.data], [1, 0, []])
    assert.equal((await people.find({ query: { name, $limit: 3 }, paginate: { max: 5 } })).data.length, 1)
    await people.remove(id)
  })

  it('of none only count', async () => {
    assert.deepEqual(await messages.find({ query: { tag, $limit: 0 } }), { total: 60, limit: 0, skip: 0, data: [] })
  })

  it('can not be asked for or refused by a client in another way', async () => {
    const page = await messages.find({ query: { tag }, paginate: false })
    assert.equal(page.total, 60)
  })
})

describe('Several records at once', () => {
  it('are refused where multi is off', async () => {
    const people = (await clients.socketio()).service('people')
    await failsWith(people.create([{ name: 'a' }]), 405, 'MethodNotAllowed', 'Can not create multiple entries')
    await failsWith(people.patch(null, {}), 405, 'MethodNotAllowed', 'Can not patch multiple entries')
    await failsWith(people.remove(null), 405, 'MethodNotAllowed', 'Can not remove multiple entries')
    assert.equal((await http('DELETE', '/people')).status, 405)
  })

  it('can never be replaced', async () => {
    const messages = (await clients.socketio()).service('messages')
    await failsWith(messages.update(null, {}), 400, 'BadRequest')
  })

  it('are changed and removed beyond the size of a page', async () => {
    const messages = (await clients.socketio()).service('messages')
    const tag = unique()
    await messages.create(Array.from({ length: 60 }, (_, n) => ({ tag, n })))
    assert.equal((await messages.patch(null, { seen: true }, { query: { tag } })).length, 60)
    assert.equal((await messages.remove(null, { query: { tag, n: { $lt: 55 } } })).length, 55)
    assert.equal((await messages.find({ query: { tag } })).total, 5)
  })

  it('can be allowed for one call by a hook', async () => {
    const people = adapter((await clients.fetch()).service('people'), 'id')
    const name = unique()
    const made = await people.create([{ name }, { name }], { adapter: { multi: true } })
    assert.equal(made.length, 2)
    const page = await people.find({ query: { name }, paginate: { default: 1 } })
    assert.deepEqual([page.total, page.limit, page.data.length], [2, 1, 1])
    assert.equal((await people.remove(null, { query: { name }, adapter: { multi: ['remove'] } })).length, 2)
  })
})

describe('Ids', () => {
  it('are numbers, and are found by their text too', async () => {
    const { json } = await http('POST', '/messages', { body: { text: 'x' } })
    assert.equal(typeof json.id, 'number')
    assert.deepEqual((await http('GET', `/messages/${json.id}`)).json, json)
  })

  it('may be called otherwise', async () => {
    const { json } = await http('POST', '/people-customid', { body: { name: unique() } })
    assert.deepEqual(Object.keys(json).sort(), ['customid', 'name'])
    assert.deepEqual((await http('DELETE', `/people-customid/${json.customid}`)).json, json)
  })
})
