// Sections 1 to 3 through the bundle that browsers load, in a realm of its own with what a browser gives it.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { before, describe, it } from 'node:test'
import vm from 'node:vm'
import { failsWith, listen, unique } from '../lib/checks.mjs'
import { socket, url } from '../lib/clients.mjs'

const bundle = createRequire(import.meta.url).resolve('@feathersjs/client/dist/feathers.js')

/** localStorage as a browser has it. */
function storage() {
  const kept = new Map()
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => { kept.set(key, String(value)) },
    removeItem: (key) => { kept.delete(key) }
  }
}

async function load() {
  const window = { fetch, setTimeout, clearTimeout, console, URLSearchParams, localStorage: storage(), location: new URL(url) }
  Object.assign(window, { window, self: window, globalThis: window })
  vm.runInContext(await readFile(bundle, 'utf8'), vm.createContext(window))
  return window
}

// Objects of another realm have other prototypes, which a deep comparison would object to.
const plain = (value) => JSON.parse(JSON.stringify(value))

for (const transport of ['rest', 'socketio']) {
  describe(`The browser bundle over ${transport}`, () => {
    let app, window
    before(async () => {
      window = await load()
      const { feathers } = window
      app = feathers()
      if (transport === 'rest') app.configure(feathers.rest(url).fetch(window.fetch))
      else app.configure(feathers.socketio(await socket()))
      app.configure(feathers.authentication({ storage: window.localStorage }))
    })

    it('creates, finds, changes and removes', async () => {
      const messages = app.service('messages')
      const text = unique()
      const made = plain(await messages.create({ text }))
      assert.deepEqual(plain(await messages.find({ query: { text } })), { total: 1, limit: 10, skip: 0, data: [made] })
      assert.equal((await messages.patch(made.id, { read: true })).read, true)
      assert.equal((await messages.remove(made.id)).id, made.id)
      await failsWith(messages.get(made.id), 404, 'NotFound', `No record found for id '${made.id}'`)
    })

    it('rebuilds errors', async () => {
      const error = await failsWith(app.service('failures').get('PaymentError'), 402, 'PaymentError', 'failure PaymentError')
      assert.deepEqual(plain(error.data), { reason: 'PaymentError', nested: { deep: true } })
    })

    it('logs in, keeps the token as feathers-jwt, and logs out', async () => {
      const credentials = { email: `${unique('user')}@example.org`, password: 'pw' }
      const user = await app.service('users').create(credentials)
      const session = await app.authenticate({ strategy: 'local', ...credentials })
      assert.deepEqual([session.user.id, window.localStorage.getItem('feathers-jwt')], [user.id, session.accessToken])
      assert.equal((await app.service('secured').create({ text: 'x' })).userId, user.id)
      await app.logout()
      assert.equal(window.localStorage.getItem('feathers-jwt'), null)
      await failsWith(app.service('secured').find(), 401, 'NotAuthenticated', 'Not authenticated')
    })

    if (transport === 'socketio') {
      it('hears events', async () => {
        const heard = listen(app.service('messages'), 'created')
        const text = unique()
        await app.service('messages').create({ text })
        await heard.first((message) => message.text === text)
      })
    }
  })
}
