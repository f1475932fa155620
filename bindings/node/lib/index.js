'use strict'
// The plugin: what an application configures, and how it joins and leaves the mesh.

const { read, descriptorPredicate } = require('./options.js')
const { mailbox } = require('./mailbox.js')
const { HealthcheckService } = require('./health.js')
const { publish, unpublish, publishAll } = require('./publish.js')
const { Remotes } = require('./remotes.js')
const { joined, left } = require('./process.js')
const { startSync } = require('./sync.js')
const { serveOnOpenSockets } = require('./sockets.js')
const { stripSlashes, isPossible, stateOf, setState, serviceAt } = require('./state.js')
const debug = require('debug')('rachis:feathers')

/**
 * Puts an application on the mesh.
 *
 * @param {object} options see README; all are optional
 * @returns {(app: object) => void} for `app.configure`
 */
function distribution(options = {}) {
  const settings = read(options)
  return (app) => {
    if (stateOf(app)) {
      throw new Error('distribution() is configured on this app already: configure it once, with all options')
    }
    const node = mailbox().create(settings.native)
    const state = {
      app,
      options: settings.options,
      node,
      joined: null,
      left: null,
      published: new Map(),
      predicates: {
        services: descriptorPredicate(settings.options.services),
        remoteServices: descriptorPredicate(settings.options.remoteServices)
      }
    }
    setState(app, state)
    state.remotes = new Remotes(state)

    app.uuid = node.id
    // A ULID begins with its time, which replicas that start together share.
    app.shortUuid = node.id.slice(-8)
    app.distributionOptions = { ...settings.options, key: settings.options.key }
    app.coteOptions = { ...settings.options.cote }
    app.distributionKey = node.key
    if (settings.options.sync) startSync(state)

    const delay = settings.options.coteDelay ?? node.startDelay
    if (delay > 0) {
      state.timer = setTimeout(() => initialize(app).catch((error) => complain(state, error)), delay)
    } else if (delay !== -1) {
      initialize(app).catch((error) => complain(state, error))
    }

    state.healthPath = stripSlashes(node.healthcheckPath)
    app.use(`${state.healthPath}/:key`, new HealthcheckService(state))
    app.use(state.healthPath, new HealthcheckService(state))
    wrapUse(app, state)
  }
}

/** Announces what the application uses from now on, and takes back what it no longer does. */
function wrapUse(app, state) {
  const use = app.use
  app.use = function (path, ...rest) {
    // A middleware has no path, or a function where services have an object.
    if (typeof path === 'string' && !isPossible(path)) throw new Error(`Feathers can not have a service at the path '${path}'`)
    if (typeof path === 'string') state.remotes.giveWay(path)
    const outcome = use.call(this, path, ...rest)
    const service = typeof path === 'string' && serviceAt(app, path)
    if (!service) return outcome
    // Once whoever registers it has put on it what it announces, as KDK does with its options.
    if (state.joined) queueMicrotask(() => publish(state, path))
    serveOnOpenSockets(app, service)
    return outcome
  }
  const unuse = app.unuse
  app.unuse = function (path, ...rest) {
    if (typeof path === 'string') unpublish(state, path)
    return unuse.call(this, path, ...rest)
  }
}

/**
 * Joins the mesh. `app.configure` does this by itself, unless `coteDelay` is -1.
 *
 * @returns {Promise<void>} ends when the mesh has the application's services
 */
function initialize(app) {
  const state = stateOf(app)
  if (!state) return Promise.reject(new Error('initialize(app): configure distribution() on this app first'))
  if (state.left) return Promise.reject(new Error('initialize(app): this app has left the mesh by finalize(app)'))
  if (state.joined) return state.joined
  debug('joining as %s of %s/%s', state.node.id, state.node.key, state.node.app)
  const leave = () => finalize(app)
  app.remoteApps = {}
  app.serviceRequesters = {}
  app.serviceEventsSubscribers = {}
  app.serviceSubscriber = { close: leave }
  app.servicePublisher = { close() {} }
  app.serviceResponder = { close() {} }
  if (state.options.publishEvents) app.serviceEventsPublisher = { close() {} }
  joined(state)
  state.joined = (async () => {
    // Before it joins, so that the first announcement has all of them.
    publishAll(state)
    await mailbox().ask(state, 'join')
    await state.sync?.start()
    debug('joined')
  })()
  return state.joined
}

/**
 * Leaves the mesh in good order: no calls come any more, and those that run are finished.
 *
 * @returns {Promise<void>} ends when the application has left; a second one, and one before joining, does no harm
 */
function finalize(app) {
  const state = stateOf(app)
  if (!state) return Promise.resolve()
  if (state.left) return state.left
  clearTimeout(state.timer)
  for (const field of ['remoteApps', 'serviceRequesters', 'serviceEventsSubscribers', 'serviceSubscriber',
    'servicePublisher', 'serviceEventsPublisher', 'serviceResponder']) delete app[field]
  joined(state)
  state.left = mailbox().ask(state, 'shutdown')
    .catch((error) => mailbox().log('warn', 'rachis::feathers', error.message))
    .then(() => {
      state.remotes.close()
      mailbox().forget(state)
      left(state)
      debug('left')
    })
  return state.left
}

function complain(state, error) {
  if (!state.left) mailbox().log('error', 'rachis::feathers', `the app has not joined the mesh: ${error.message}`)
}

distribution.default = distribution
distribution.initialize = initialize
distribution.finalize = finalize
module.exports = distribution
