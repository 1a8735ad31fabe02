# What is asked for and given is the same in every language; a test counts.

month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December
moment = { $day } { $month } { $year }, { $time } UTC

flagged-name = { $name } (careful: this name has { $scripts } letters)

subject = { $audience ->
    [person] Data about you was taken from { $service }
    [admin] Your accounts and the security incident at { $service }
   *[organisation] Security incident at { $service }: personal data was taken
}
subject-corrected = { $audience ->
    [person] Correction: data about you was taken from { $service }
    [admin] Correction: your accounts and the security incident at { $service }
   *[organisation] Correction: security incident at { $service }, personal data was taken
}
greeting = { $audience ->
    [person] Hello,
    [admin] To the administrators of { $sender },
   *[organisation] To whoever is responsible at { $sender },
}

corrected = This is version { $version } of our notice about incident { $incident }. It replaces version { $before }, which did not say everything.

what-heading = What happened
what = { $account ->
    [staff] Somebody used the account of a member of staff of { $sender } to take personal data out of { $service }.
    [token] Somebody used a technical access key of { $sender } to take personal data out of { $service }.
    [vendor] A company that works for { $sender } lost personal data that it had from { $service }.
   *[unknown] Somebody took personal data out of { $service }. We do not know yet which account they used.
}
when-between = It happened between { $from } and { $to }.
when-at = It happened on { $from }.
detected = We noticed it on { $at }.
contained = We stopped it on { $at }.
not-contained = We are still at work to stop it.

fields-heading = { $audience ->
    [person] What left about you
   *[other] What left
}
fields = { $audience ->
    [person] { $count ->
        [one] One kind of your data left:
       *[other] { $shown } kinds of your data left:
    }
   *[other] { $count ->
        [one] One kind of data left:
       *[other] { $shown } kinds of data left:
    }
}
field-distinct-id = the number or name by which { $service } knows a user
field-email = e-mail address
field-phone = telephone number
field-name = name
field-place = postal address or place
field-network-address = network (IP) address
field-birth = date of birth or age
field-events = what was done with { $service }, and when
field-other = other personal details that were stored in the profile
nothing-else = As far as we know, nothing else left.

affected = { $count ->
    [one] One person is affected.
   *[other] { $shown } persons are affected.
}

done-heading = What we did
measure-locked = The account was locked.
measure-sessions = All open sessions were ended.
measure-tokens = The access keys were replaced.
measure-vendor = Nothing more is sent to that company.
measure-authority = The supervisory authority was told.
measure-none = We are looking into what happened.

do-heading = What you should do
advice-phishing = Expect false messages that know this data. Do not follow links in them, and do not call numbers in them.
advice-never = We never ask for a password, a sign-in code or a key: not by mail, not by telephone, not by text message.
advice-domain = Look closely at the domain of every message that claims to be from us.
advice-mfa = Protect your mailbox and your accounts with an authenticator app or a security key, not with codes by text message.
advice-sso = Ask for the second factor in the single sign-on too, for every member.
advice-staff = Tell everybody who has an account, and have them report messages that ask them to sign in.
advice-rotate = Replace access keys that members of staff could see.
advice-inform = Tell the persons concerned and your supervisory authority where the law asks it of you. The list of persons is in the package that we keep ready for you.

check-heading = How to check that this notice is genuine
check = There is nothing to click in this notice. Type the address of { $host } into your browser yourself, open the page “incidents”, choose incident { $incident }, and type this code there:
check-shows = The page says whether the code is genuine and shows the text of this notice, to compare.
contact = Questions? Write to { $contact }. Do not answer to anybody else.
signed = { $sender }
