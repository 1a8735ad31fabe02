# I nomi dei messaggi e delle variabili sono quelli di en.ftl.

month-1 = gennaio
month-2 = febbraio
month-3 = marzo
month-4 = aprile
month-5 = maggio
month-6 = giugno
month-7 = luglio
month-8 = agosto
month-9 = settembre
month-10 = ottobre
month-11 = novembre
month-12 = dicembre
moment = { $day ->
    [1] 1º
   *[other] { $day }
} { $month } { $year }, ore { $time } UTC

flagged-name = { $name } (attenzione: questo nome contiene lettere di { $scripts })

subject = { $audience ->
    [person] Dati che La riguardano sono stati sottratti a { $service }
    [admin] I vostri account e l’incidente di sicurezza di { $service }
   *[organisation] Incidente di sicurezza di { $service }: sottratti dati personali
}
subject-corrected = { $audience ->
    [person] Rettifica: dati che La riguardano sono stati sottratti a { $service }
    [admin] Rettifica: i vostri account e l’incidente di sicurezza di { $service }
   *[organisation] Rettifica: incidente di sicurezza di { $service }, sottratti dati personali
}
greeting = { $audience ->
    [person] Buongiorno,
    [admin] A chi amministra { $sender },
   *[organisation] A chi è responsabile di { $sender },
}

corrected = Questa è la versione { $version } del nostro avviso sull’incidente { $incident }. Sostituisce la versione { $before }, che non diceva tutto.

what-heading = Che cosa è successo
what = { $account ->
    [staff] Qualcuno ha usato l’account di una persona che lavora per { $sender } per sottrarre dati personali a { $service }.
    [token] Qualcuno ha usato una chiave tecnica di accesso di { $sender } per sottrarre dati personali a { $service }.
    [vendor] Un’azienda che lavora per { $sender } ha perso dati personali che aveva da { $service }.
   *[unknown] Qualcuno ha sottratto dati personali a { $service }. Non sappiamo ancora quale account abbia usato.
}
when-between = Data e ora: dal { $from } al { $to }.
when-at = Data e ora: { $from }.
detected = Ce ne siamo accorti: { $at }.
contained = Lo abbiamo fermato: { $at }.
not-contained = Siamo ancora al lavoro per fermarlo.

fields-heading = { $audience ->
    [person] Che cosa è uscito di Lei
   *[other] Che cosa è uscito
}
fields = { $audience ->
    [person] { $count ->
        [one] È uscito un tipo di dati che La riguarda:
       *[other] Sono usciti { $shown } tipi di dati che La riguardano:
    }
   *[other] { $count ->
        [one] È uscito un tipo di dati:
       *[other] Sono usciti { $shown } tipi di dati:
    }
}
field-distinct-id = il numero o il nome con cui { $service } riconosce un utente
field-email = indirizzo e-mail
field-phone = numero di telefono
field-name = nome
field-place = indirizzo postale o luogo
field-network-address = indirizzo di rete (IP)
field-birth = data di nascita o età
field-events = che cosa è stato fatto con { $service } e quando
field-other = altri dati personali conservati nel profilo
nothing-else = Per quanto ne sappiamo, non è uscito altro.

affected = { $count ->
    [one] È coinvolta una persona.
   *[other] Sono coinvolte { $shown } persone.
}

done-heading = Che cosa abbiamo fatto
measure-locked = L’account è stato bloccato.
measure-sessions = Tutte le sessioni aperte sono state chiuse.
measure-tokens = Le chiavi di accesso sono state sostituite.
measure-vendor = A quell’azienda non viene più inviato nulla.
measure-authority = L’autorità di controllo è stata informata.
measure-none = Stiamo accertando l’accaduto.

do-heading = Che cosa fare
advice-phishing = Si aspetti messaggi falsi che conoscono questi dati. Non segua i loro link e non chiami i numeri che indicano.
advice-never = Non chiediamo mai una password, un codice di accesso o una chiave: né per e-mail, né per telefono, né per SMS.
advice-domain = Guardi bene il dominio di ogni messaggio che dice di venire da noi.
advice-mfa = Protegga la casella di posta e gli account con un’app di autenticazione o una chiave di sicurezza, non con codici via SMS.
advice-sso = Chiedete il secondo fattore anche nel single sign-on, a tutti.
advice-staff = Avvisate tutti coloro che hanno un account e fatevi segnalare i messaggi che chiedono di accedere.
advice-rotate = Sostituite le chiavi di accesso che il personale poteva vedere.
advice-inform = Informate le persone interessate e la vostra autorità di controllo dove la legge lo chiede. L’elenco delle persone è nel pacchetto che teniamo pronto per voi.

check-heading = Come verificare che questo avviso è autentico
check = In questo avviso non c’è nulla da cliccare. Scriva Lei stesso l’indirizzo di { $host } nel browser, apra la pagina «incidents», scelga l’incidente { $incident } e scriva lì questo codice:
check-shows = La pagina dice se il codice è autentico e mostra il testo di questo avviso, per confrontarlo.
contact = Domande? Scriva a { $contact }. Non risponda a nessun altro.
signed = { $sender }
