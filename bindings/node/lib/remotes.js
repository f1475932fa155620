'use strict'
// Services of other nodes as services of this application.

const { mailbox } = require('./mailbox.js')
const { RemoteService } = require('./remote-service.js')
const { incoming } = require('./events.js')
const { CONTEXT } = require('./params.js')
const { stripSlashes, serviceAt, DEFAULT_EVENTS } = require('./state.js')
const debug = require('debug')('rachis:feathers:remote')

class Remotes {
  #state
  /** By the path they have on their own node. */
  #services = new Map()
  #busy = false

  constructor(state) {
    this.#state = state
  }

  /** All remote services. */
  all() {
    return [...this.#services.values()].map(({ service }) => service)
  }

  /** Takes a change of the mesh in. */
  change(change) {
    if (change.service) this.#offer(change.service.service, change.service.now)
    else if (change.serviceRemoved) this.#remove(change.serviceRemoved.path)
    else if (change.health) this.#services.get(change.health.path)?.service.setHealthy(change.health.healthy)
    else if (change.nodeUp) this.#nodeUp(change.nodeUp)
    else if (change.nodeDown) this.#nodeDown(change.nodeDown)
  }

  /** Passes an event on; `false` if it is of no remote service. */
  event(event) {
    const known = this.#services.get(event.path)
    if (!known) return false
    const { app } = this.#state
    const service = serviceAt(app, known.localPath)
    if (service?.remote) service.emit(event.name, event.data, incoming(app, service, known.localPath, event))
    return true
  }

  /** Makes room for a service of the application itself. */
  giveWay(givenPath) {
    if (this.#busy) return
    const localPath = stripSlashes(givenPath)
    for (const [path, known] of this.#services) {
      if (known.localPath !== localPath) continue
      debug('%s gives way to a local service', path)
      this.#unuse(path, known)
    }
  }

  /** Marks all as gone, since this application has left. */
  close() {
    for (const { service } of this.#services.values()) service.setHealthy(false)
  }

  #offer(info, now) {
    const descriptor = this.#descriptor(info)
    const known = this.#services.get(info.path)
    if (known) {
      known.service.setHealthy(info.healthy)
      if (known.offer === offerOf(info)) return
      debug('%s is offered differently', info.path)
      this.#unuse(info.path, known)
    }
    const { app, predicates, options } = this.#state
    if (!predicates.remoteServices(descriptor)) return
    const localPath = stripSlashes(options.remoteServicePath?.(descriptor) ?? info.path)
    if (serviceAt(app, localPath)) {
      debug('%s is hidden by a service of this app', info.path)
      return
    }
    const service = new RemoteService(this.#state, descriptor)
    service.setHealthy(info.healthy)
    try {
      this.#use(localPath, descriptor, service)
    } catch (error) {
      mailbox().log('error', 'rachis::feathers', `the remote service '${info.path}' can not be used as '${localPath}': ${error.message}`)
      return
    }
    this.#services.set(info.path, { service, descriptor, localPath, offer: offerOf(info) })
    this.#listen(info.path, descriptor, now)
    app.emit('service', { ...descriptor, path: localPath })
  }

  #use(localPath, descriptor, service) {
    const { app, options } = this.#state
    const { before = [], after = [] } = options.middlewares ?? {}
    const events = descriptor.events.filter((event) => !DEFAULT_EVENTS.includes(event))
    this.#busy = true
    try {
      app.use(localPath, ...[before].flat(), service, { ...descriptor, events }, ...[after].flat())
    } finally {
      this.#busy = false
    }
    const registered = app.service(localPath)
    if (options.hooks) registered.hooks(options.hooks)
    registered.hooks({
      before: {
        all: [(context) => {
          // The call goes out with it, so that the answer can say what hooks of the other node said.
          context.params = { ...context.params, [CONTEXT]: context }
        }]
      },
      after: {
        // What happened there its own node tells.
        all: [(context) => { context.event = null }]
      }
    })
  }

  /** Brings the events from the moment on in which the service was known. */
  #listen(path, descriptor, since) {
    if (descriptor.events.length === 0) return
    const known = this.#services.get(path)
    mailbox().ask(this.#state, { listen: { path, since } }).catch((error) => {
      // Gone already, or taken up again by a later offer.
      if (this.#services.get(path) !== known || this.#state.left) return
      mailbox().log('warn', 'rachis::feathers', `events of '${path}' can not be heard: ${error.message}`)
    })
  }

  #remove(path) {
    const known = this.#services.get(path)
    if (!known) return
    this.#unuse(path, known)
    const { app } = this.#state
    app.emit('service-removed', { ...known.descriptor, path: known.localPath })
  }

  #unuse(path, { localPath }) {
    this.#services.delete(path)
    mailbox().ask(this.#state, { ignore: path }).catch((error) => debug('%s is still heard: %s', path, error.message))
    const { app } = this.#state
    if (!serviceAt(app, localPath)?.remote) return
    Promise.resolve(app.unuse(localPath)).catch((error) => debug('%s can not be unused: %s', localPath, error.message))
  }

  #descriptor(info) {
    const [uuid = ''] = info.replicas
    const descriptor = { uuid, shortUuid: uuid.slice(-8), key: info.key, path: info.path, events: info.events, methods: info.methods }
    if (Object.keys(info.options).length > 0) descriptor.remoteOptions = info.options
    return descriptor
  }

  #nodeUp({ id, key }) {
    const { app, node } = this.#state
    if (id === node.id || !app.remoteApps) return
    app.remoteApps[key] ??= new Set()
    app.remoteApps[key].add(id)
    app.serviceRequesters[key] ??= { close() {} }
    app.serviceEventsSubscribers[key] ??= { close() {} }
  }

  #nodeDown({ id, key }) {
    const { app } = this.#state
    const replicas = app.remoteApps?.[key]
    if (!replicas?.delete(id) || replicas.size > 0) return
    delete app.serviceRequesters[key]
    delete app.serviceEventsSubscribers[key]
  }
}

/** What of an offer a proxy is made by. */
function offerOf({ key, app, methods, events, options }) {
  return JSON.stringify([key, app, methods, events, options])
}

module.exports = { Remotes }
