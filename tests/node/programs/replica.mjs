// A replica of the mesh that scripts/faults.sh breaks, beside those in Rust (tests/faults/service.rs): it offers the same,
// notes in the same journal what runs, and ends when whoever started it has.
import { openSync, writeSync } from 'node:fs'
import { feathers } from '@feathersjs/feathers'
import distribution, { initialize } from '@rachis/feathers'

const { journal } = JSON.parse(process.env.RACHIS_FAULTS_REPLICA)
const file = openSync(journal, 'a')
// A line is one write, which the system does not split, and which outlives the process.
const note = (mark, tag, method) => writeSync(file, `${mark} ${tag} ${method} ${process.pid} ${Date.now()}\n`)

/** What every method does: `whole` says which call this is and how long it takes, unless the id says the former. */
async function run(method, id, whole = {}) {
  const tag = Number(id ?? whole.tag)
  note('S', tag, method)
  if (Number(whole.work) > 0) await new Promise((resolve) => setTimeout(resolve, Number(whole.work)))
  note('E', tag, method)
  return { tag, pid: process.pid }
}

class Jobs {
  find({ query }) { return run('find', null, query) }
  get(id, { query }) { return run('get', id, query) }
  create(data) { return run('create', null, data) }
  update(id, data) { return run('update', id, data) }
  patch(id, data) { return run('patch', id, data) }
  remove(id, { query }) { return run('remove', id, query) }
  charge(data) { return run('charge', null, data) }
  recount(data) { return run('recount', null, data) }
}

const methods = ['find', 'get', 'create', 'update', 'patch', 'remove', 'charge', 'recount']
// Its configuration is in the file that DISTRIBUTION_CONFIG names.
const app = feathers().configure(distribution({ coteDelay: -1 }))
for (const path of ['jobs', 'added']) app.use(path, new Jobs(), { methods, idempotentMethods: ['recount'] })
await initialize(app)
process.stdin.on('end', () => process.exit(0)).resume()
console.log('ready')
