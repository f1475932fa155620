'use strict'
// Events of a service of this application on the same service of its other replicas, as feathers-sync brings them.

const { mailbox } = require('./mailbox.js')
const { incoming } = require('./events.js')
const { serviceAt } = require('./state.js')

/** Begins to do so for what the application publishes. */
function startSync(state) {
  const { app } = state
  let passing = false
  let started = false
  let ready
  // As feathers-sync has it: `await app.sync.ready`.
  app.sync = { type: 'rachis', ready: new Promise((resolve) => { ready = resolve }) }
  state.sync = {
    isPassing: () => passing,
    async start() {
      started = true
      await Promise.all([...state.published.keys()].map((path) => state.sync.listen(path)))
      ready()
    },
    listen(path) {
      if (!started) return
      return mailbox().ask(state, { listen: { path } }).catch((error) => {
        if (!state.left) mailbox().log('warn', 'rachis::feathers', `events of '${path}' on other replicas can not be heard: ${error.message}`)
      })
    },
    told: (event) => app.emit('sync-out', event),
    event(event) {
      const service = serviceAt(app, event.path)
      if (!service || service.remote) return false
      const context = incoming(app, service, event.path, event)
      app.emit('sync-in', { event: event.name, path: event.path, data: event.data, context })
      passing = true
      try {
        service.emit(event.name, event.data, context)
      } finally {
        passing = false
      }
      return true
    }
  }
}

module.exports = { startSync }
