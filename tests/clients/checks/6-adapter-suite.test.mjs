// Section 6: Feathers' own checks of database adapters, with a network and a mesh between them and the adapter.
import { adapterTests } from '@feathersjs/adapter-tests'
import errors from '@feathersjs/errors'
import * as runner from 'node:test'
import { adapter } from '../lib/adapter.mjs'
import { clients } from '../lib/clients.mjs'

// Left out is what asks an adapter in the same process: its raw methods, its `events`, which method calls which.
const NAMES = [
  '.options', '.get', '.get + $select', '.get + id + query', '.get + NotFound', '.get + NotFound (integer)',
  '.get + id + query id', '.find', '.remove', '.remove + $select', '.remove + id + query', '.remove + NotFound',
  '.remove + NotFound (integer)', '.remove + multi', '.remove + multi no pagination', '.remove + id + query id', '.update',
  '.update + $select', '.update + id + query', '.update + NotFound', '.update + NotFound (integer)',
  '.update + query + NotFound', '.update + id + query id', '.patch', '.patch + $select', '.patch + id + query',
  '.patch multiple', '.patch multiple no pagination', '.patch multi query same', '.patch multi query changed',
  '.patch + query + NotFound', '.patch + NotFound', '.patch + NotFound (integer)', '.patch + id + query id', '.create',
  '.create + $select', '.create multi', '.create ignores query', '.find + equal', '.find + equal multiple', '.find + $sort',
  '.find + $sort + string', '.find + $limit', '.find + $limit 0', '.find + $skip', '.find + $select', '.find + $or',
  '.find + $in', '.find + $nin', '.find + $lt', '.find + $lte', '.find + $gt', '.find + $gte', '.find + $ne',
  '.find + $gt + $lt + $sort', '.find + $or nested + $sort', '.find + $and', '.find + $and + $or',
  'params.adapter + paginate', 'params.adapter + multi', '.find + paginate', '.find + paginate + query',
  '.find + paginate + $limit + $skip', '.find + paginate + $limit 0', '.find + paginate + params'
]

// The suite wants a runner's functions to be global. What it leaves out is not ours to report, so it is not skipped
// but never declared.
const { describe, before, after, beforeEach, afterEach, it } = runner
const declared = Object.assign((name, check) => it(name, () => check()), { skip: () => {} })
Object.assign(globalThis, { describe, before, after, beforeEach, afterEach, it: declared })

const log = console.log
console.log = (...line) => { if (!/^\n?Skipped the following|^\[/.test(String(line[0]))) log(...line) }

for (const name of ['fetch', 'socketio']) {
  describe(`An adapter behind ${name}`, () => {
    const services = {}
    before(async () => {
      const app = await clients[name]()
      for (const [path, id] of [['people', 'id'], ['people-customid', 'customid']]) {
        services[path] = adapter(app.service(path), id)
        // The suite counts records, so those that other checks left have to go.
        await services[path].remove(null, { adapter: { multi: true } })
      }
    })
    const app = { service: (path) => services[path] }
    adapterTests(NAMES)(app, errors, 'people', 'id')
    adapterTests(NAMES)(app, errors, 'people-customid', 'customid')
  })
}
